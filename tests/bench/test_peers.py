"""The protocols of other servers, against fakes that speak as those publish it, and the GA dialect against Hark."""

import json
import struct

import numpy as np
import pytest

from hark.bench.heard import Started, Stopped, Transcript, Trouble, Words
from hark.bench.peers import DIALECTS, LEAD, TAIL, SherpaOffline
from hark.bench.protocols import Sending
from hark.errors import CallerError

SENDING = Sending(silence_ms=300)
CLIP = np.linspace(-0.5, 0.5, 48_000, dtype=np.float32)


def heard(name, *messages):
    """What a session of this protocol makes of the server's messages, the n-th of which comes at n seconds."""
    dialect = DIALECTS[name](SENDING)
    texts = [one if isinstance(one, str) else json.dumps(one) for one in messages]
    return [news for at, text in enumerate(texts) for news in dialect.hear(text, float(at))]


def test_sherpa_says_a_segment_again_until_it_is_final():
    first = {"text": " so it", "segment": 0, "start_time": 0.0, "timestamps": [0.4, 0.9], "is_final": False}
    final = first | {"text": " so it was", "timestamps": [0.4, 0.9, 1.6], "is_final": True}
    later = {"text": " yes", "segment": 1, "start_time": 2.5, "timestamps": [0.5], "is_final": True}
    assert heard("sherpa", {"text": "", "segment": 0}, first, final, later, "Done!") == [
        Words(1.0, "segment 0"),
        Transcript(2.0, "segment 0", " so it was", 1.6),
        Transcript(3.0, "segment 1", " yes", 3.0),
    ]


def test_sherpas_streaming_server_gets_floats():
    frames = DIALECTS["sherpa"].encode(CLIP, (0, 40_000), SENDING)
    assert b"".join(frames) == CLIP.tobytes()
    assert {len(frame) for frame in frames} == {6_400}
    assert list(DIALECTS["sherpa"](SENDING).farewell()) == ["Done"]


@pytest.mark.parametrize(("first", "last"), [(8_000, 36_800), (0, 40_000), (5_000, 48_000)])
def test_sherpas_other_server_gets_an_utterance_behind_its_length(first, last):
    frames = SherpaOffline.encode(CLIP, (first, last), SENDING)
    sent = b"".join(frame for frame in frames if frame)
    rate, size = struct.unpack("<ii", sent[:8])
    expected = CLIP[max(0, first - LEAD) : last + TAIL]
    assert (rate, size) == (16_000, expected.nbytes)
    assert sent[8:] == expected.tobytes()
    whole = next(
        number for number in range(len(frames)) if len(b"".join(filter(None, frames[: number + 1]))) == len(sent)
    )
    assert whole == min(29, (last + 4_800) // 1_600)  # once the silence is known, and no sooner
    assert SherpaOffline.encode(CLIP[:1_600], None, SENDING) == [None]


def test_sherpas_other_server_answers_once_an_utterance():
    assert heard("sherpa-offline", {"text": "one", "timestamps": []}, "two") == [
        Transcript(0.0, "", "one"),
        Transcript(1.0, "", "two"),
    ]


def test_vosk_answers_every_message():
    words = [
        {"word": "so", "start": 0.3, "end": 0.6, "conf": 1.0},
        {"word": "it", "start": 0.6, "end": 0.84, "conf": 1.0},
    ]
    said = [{"partial": ""}, {"partial": "so it"}, {"result": words, "text": "so it"}, {"text": ""}]
    assert heard("vosk", *said) == [Words(1.0, ""), Transcript(2.0, "", "so it", 0.84)]


def test_vosk_is_told_the_rate_and_gets_integers():
    vosk = DIALECTS["vosk"](SENDING)
    assert [json.loads(one)["config"]["sample_rate"] for one in vosk.greeting()] == [16_000]
    assert list(vosk.farewell()) == ['{"eof" : 1}']  # the server compares the text
    integers = np.frombuffer(b"".join(vosk.encode(CLIP, None, SENDING)), "<i2")
    assert np.abs(integers / 32_768 - CLIP).max() < 1e-4


def test_whisperlive_is_ready_when_it_says_so_and_repeats_itself():
    live = DIALECTS["whisperlive"](SENDING)
    asked = json.loads(next(iter(live.greeting())))
    assert {"uid", "language", "task", "model", "use_vad"} <= set(asked)
    uid = asked["uid"]
    assert not live.ready
    assert list(live.hear(json.dumps({"uid": uid, "message": "SERVER_READY", "backend": "faster_whisper"}), 0.0)) == []
    assert live.ready
    one = {"start": "0.000", "end": "1.500", "text": " So it was.", "completed": True}
    two = {"start": "1.500", "end": "3.200", "text": " Yes", "completed": False}
    said = [{"uid": uid, "segments": segments} for segments in ([one | {"completed": False}], [one, two], [one, two])]
    news = [news for at, message in enumerate(said) for news in live.hear(json.dumps(message), float(at))]
    assert news == [
        Words(0.0, "0.000"),
        Transcript(1.0, "0.000", " So it was.", 1.5),
        Words(1.0, "1.500"),
        Words(2.0, "1.500"),
    ]


def test_whisperlive_may_be_full():
    assert heard("whisperlive", {"uid": "u", "status": "WAIT", "message": 12.5}) == [Trouble(0.0, "", "WAIT: 12.5")]


def test_openais_events():
    item, prefix = {"item_id": "item_1"}, "conversation.item.input_audio_transcription"
    assert heard(
        "openai",
        {"type": "session.created", "session": {}},
        {"type": "session.updated", "session": {}},
        {"type": "input_audio_buffer.speech_started", "audio_start_ms": 96, **item},
        {"type": f"{prefix}.delta", "delta": "so", **item},
        {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 1500, **item},
        {"type": f"{prefix}.completed", "transcript": "so it was", **item},
        {"type": f"{prefix}.failed", "error": {"message": "no"}, **item},
        {"type": "error", "error": {"message": "full"}},
        {"type": "rate_limits.updated"},
    ) == [
        Started(2.0, "item_1"),
        Words(3.0, "item_1"),
        Stopped(4.0, "item_1", 1.5),
        Transcript(5.0, "item_1", "so it was"),
        Trouble(6.0, "item_1", "no"),
        Trouble(7.0, "", "full"),
    ]


@pytest.mark.parametrize("name", DIALECTS)
def test_an_address_is_one(name):
    assert DIALECTS[name].url("http://127.0.0.1:2700").startswith("ws://127.0.0.1:2700")
    assert DIALECTS[name].url("wss://example.org").startswith("wss://example.org")
    with pytest.raises(CallerError, match="Expected the address of a server"):
        DIALECTS[name].url("localhost:2700")
