"""What a transcript carries besides its text, as clients get it: logprobs, languages, what the engine thinks."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.audio import TranscriptionVerbose
from openai.types.realtime import (
    ConversationItemInputAudioTranscriptionCompletedEvent,
    ConversationItemInputAudioTranscriptionDeltaEvent,
)

from hark.compute.process_wire import Heard as Crossed
from hark.core.messages import TranscriptCompleted, TranscriptDelta, Usage
from hark.core.settings import ModelCard
from hark.core.work import Hypothesis, Token
from hark.protocol import events
from hark.protocol.transcripts import Heard
from hark.protocol.uploads import read_upload

USAGE = Usage("duration", 1.0, 0, 10, 2)
CARD = ModelCard("whisper-1", "x")
texts = st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=4), max_size=6)


def completed(tokens, **more):
    text = "".join(token.text for token in tokens or ())
    return TranscriptCompleted("item_1", text or "word", USAGE, 0, 1_000, tokens, **more)


def sent(event):
    (frame,) = events.encode(event, lambda prefix: f"{prefix}_1")
    return json.loads(frame)


@given(texts)
def test_bytes_join_to_the_text_whatever_the_characters(pieces):
    tokens = tuple(Token(piece, -0.5) for piece in pieces)
    delta = sent(TranscriptDelta("item_1", "".join(pieces), tokens))
    assert b"".join(bytes(token["bytes"]) for token in delta["logprobs"]).decode() == delta["delta"]
    assert [token["logprob"] for token in delta["logprobs"]] == [-0.5] * len(pieces)


@pytest.mark.parametrize(
    ("tokens", "told"),
    [
        (None, None),
        ((), []),
        ((Token("a"), Token(" b")), []),
        ((Token("é", -0.25),), [{"token": "é", "logprob": -0.25, "bytes": [195, 169]}]),
    ],
)
def test_logprobs_are_a_list_if_asked_for_and_empty_if_the_engine_knows_none(tokens, told):
    """As the official types have it: a client that goes through the list trips over null."""
    ended, delta = sent(completed(tokens)), sent(TranscriptDelta("item_1", "a", tokens))
    assert ended.get("logprobs") == delta.get("logprobs") == told
    assert ("logprobs" in ended) == (told is not None)
    ConversationItemInputAudioTranscriptionCompletedEvent.model_validate(ended)
    ConversationItemInputAudioTranscriptionDeltaEvent.model_validate(delta)


@pytest.mark.parametrize(("languages", "told"), [((), []), (("fr", "en"), [{"code": "fr"}, {"code": "en"}])])
def test_languages_are_told_in_order(languages, told):
    assert sent(completed(None, languages=languages))["languages"] == told


def upload(event, **fields):
    heard = Heard(read_upload([*fields.items()], lambda name: CARD))
    heard.stream(event)
    return json.loads(heard.answer(1_000).body)


@pytest.mark.parametrize(("logprob", "no_speech"), [(-0.5, 0.25), (None, None)])
def test_a_segment_tells_what_the_engine_thinks(logprob, no_speech):
    event = completed((Token("a", logprob), Token(" b", logprob)), no_speech=no_speech)
    answer = upload(event, response_format="verbose_json")
    (segment,) = answer["segments"]
    assert (segment["avg_logprob"], segment["no_speech_prob"]) == (logprob or 0, no_speech or 0)
    TranscriptionVerbose.model_validate(answer)


def test_an_upload_gets_an_empty_list_where_the_engine_knows_no_probabilities():
    assert upload(completed((Token("a"),)), include="logprobs")["logprobs"] == []
    assert "logprobs" not in upload(completed((Token("a"),)))


def test_what_an_engine_thinks_comes_through_its_process():
    """Hypotheses cross in MessagePack: a field that is new is carried too."""
    heard = Crossed([Hypothesis((Token("a"),), no_speech=0.75)])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(heard), type=Crossed) == heard
