"""The choice at the handshake (contract B.2, B.3), line by line, and what no reader of that table would expect."""

import pytest

from hark.core.settings import ModelCard, SessionSettings, Transcription, TurnDetection
from hark.errors import CallerError
from hark.protocol.dialects import Handshake, choose, subprotocol

CARDS = {
    name: ModelCard(name, "e", live=name == "gpt-realtime-whisper") for name in ("whisper-1", "gpt-realtime-whisper")
}
PLAIN = SessionSettings()
WHISPER = SessionSettings(transcription=Transcription("whisper-1"))
LIVE = SessionSettings(transcription=Transcription("gpt-realtime-whisper"), turn_detection=None)


def voice(model):
    return SessionSettings(kind="realtime", model=model)


def chosen(path="/v1/realtime", headers=None, offered=(), **query):
    query = {name.replace("_", "-"): value for name, value in query.items()}
    return choose(Handshake(path, query, headers or {}, offered), lambda name: CARDS.get(name or "whisper-1"))


@pytest.mark.parametrize(
    ("query", "settings"),
    [
        ({}, PLAIN),
        ({"intent": "transcription"}, PLAIN),
        ({"intent": "conversation"}, PLAIN),
        ({"call_id": "rtc_1"}, PLAIN),
        ({"model": ""}, PLAIN),
        ({"model": "whisper-1"}, WHISPER),
        ({"deployment": "whisper-1"}, WHISPER),
        ({"intent": "transcription", "model": "whisper-1"}, WHISPER),
        ({"model": "gpt-realtime-whisper"}, LIVE),
        ({"intent": "transcription", "model": "gpt-realtime-whisper"}, LIVE),
        ({"model": "gpt-realtime"}, voice("gpt-realtime")),
        ({"model": "gpt-realtime-2.1"}, voice("gpt-realtime-2.1")),
        ({"model": "gpt-4o-realtime-preview-2024-10-01"}, voice("gpt-4o-realtime-preview-2024-10-01")),
        ({"model": "gpt-4o-mini-realtime-preview"}, voice("gpt-4o-mini-realtime-preview")),
        ({"deployment": "gpt-4o-realtime-preview"}, voice("gpt-4o-realtime-preview")),
        ({"deployment": "named-as-people-like"}, PLAIN),
        ({"intent": "transcription", "model": "gpt-realtime"}, PLAIN),
    ],
)
@pytest.mark.parametrize(
    ("dialect", "headers", "offered"),
    [
        ("ga", {}, []),
        ("ga", {"openai-beta": "assistants=v2"}, ["realtime", "openai-insecure-api-key.k"]),
        ("ga", {"openai-beta": "realtime=v10"}, ["openai-beta.realtime-v11"]),
        ("beta", {"openai-beta": "realtime=v1"}, []),
        ("beta", {"openai-beta": "assistants=v2, realtime=v1"}, ["realtime"]),
        ("beta", {}, ["realtime", "openai-insecure-api-key.k", "openai-beta.realtime-v1"]),
    ],
)
def test_the_kind_comes_from_the_query_and_the_dialect_from_elsewhere(query, settings, dialect, headers, offered):
    choice = chosen(headers=headers, offered=offered, **query)
    assert (choice.dialect, choice.settings) == (dialect, settings)


@pytest.mark.parametrize(
    ("path", "query", "dialect", "settings"),
    [
        ("/v1/realtime/transcription_sessions", {}, "ga", PLAIN),
        ("/v1/realtime/transcription_sessions", {"model": "gpt-realtime"}, "ga", PLAIN),
        ("/openai/realtime", {"api_version": "2025-04-01-preview", "intent": "transcription"}, "beta", PLAIN),
        ("/openai/realtime", {"api_version": "2025-08-28"}, "ga", PLAIN),
        ("/openai/v1/realtime", {"model": "gpt-realtime"}, "ga", voice("gpt-realtime")),
        ("/v1/realtime", {"api_version": "2025-04-01-preview"}, "ga", PLAIN),
    ],
)
def test_the_path_has_a_say(path, query, dialect, settings):
    choice = chosen(path, **query)
    assert (choice.dialect, choice.settings) == (dialect, settings)


@pytest.mark.parametrize(
    ("query", "mode"),
    [
        ({"model": "gpt-5"}, "realtime"),
        ({"model": "Whisper-1"}, "realtime"),
        ({"model": "gpt-5", "intent": "transcription"}, "transcription"),
    ],
)
def test_a_model_that_nobody_offers_is_refused(query, mode):
    with pytest.raises(CallerError, match=f"not supported in {mode} mode") as caught:
        chosen(**query)
    assert (caught.value.code, caught.value.param) == ("invalid_model", "model")


def test_turns_are_detected_unless_a_live_model_is_named():
    assert PLAIN.turn_detection == TurnDetection("server_vad", 0.5, 300, 200)
    assert chosen(model="gpt-realtime-whisper").settings.turn_detection is None


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        ([], None),
        (["realtime"], "realtime"),
        (["openai-insecure-api-key.k", "openai-beta.realtime-v1", "realtime"], "realtime"),
        (["openai-insecure-api-key.k"], None),
        (["openai-beta.realtime-v1"], None),
    ],
)
def test_realtime_is_the_one_subprotocol(offered, selected):
    assert subprotocol(offered) == selected
