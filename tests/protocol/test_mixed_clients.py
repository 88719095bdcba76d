"""Clients that mix the dialects or ask for more than transcripts, each as it is out in the world (contract C.3, G)."""

import pytest

from serving import speech

REALTIME = "/v1/realtime?model=gpt-realtime"
WHISPER = {"model": "whisper-1", "language": None, "prompt": None}


def test_what_belongs_to_a_voice_is_kept_and_echoed(server):
    first = {"type": "realtime", "instructions": "Be brief.", "audio": {"output": {"voice": "marin"}}}
    with server.session("ga", REALTIME) as wire:
        wire.ask("session.update", session=first)
        second = {"tools": [{"a": 1}], "audio": {"output": {"speed": 1.2}}}
        session = wire.ask("session.update", session=second)["session"]
        assert (session["instructions"], session["tools"]) == ("Be brief.", [{"a": 1}])
        spoken = session["audio"]["output"]
        assert (spoken["voice"], spoken["speed"], spoken["format"]["type"]) == ("marin", 1.2, "audio/pcm")


def test_the_first_update_of_openais_own_beta_client(server):
    session = {
        "modalities": ["text", "audio"], "instructions": "", "voice": "verse", "input_audio_format": "pcm16",
        "output_audio_format": "pcm16", "input_audio_transcription": None, "turn_detection": None, "tools": [],
        "tool_choice": "auto", "temperature": 0.8, "max_response_output_tokens": 4096,
    }  # fmt: skip
    with server.session("beta", "/v1/realtime?model=gpt-4o-realtime-preview-2024-10-01") as wire:
        updated = wire.ask("session.update", session=session)
        assert updated["type"] == "session.updated"
        assert {name: updated["session"][name] for name in session} == session


def test_the_model_of_a_session_stays(server):
    with server.session("ga", REALTIME) as wire:
        updated = wire.ask("session.update", session={"type": "realtime", "model": "gpt-realtime-mini"})
        assert updated["session"]["model"] == "gpt-realtime"


def test_voxinput_turns_a_realtime_session_into_a_transcription(server):
    audio = {"input": {"transcription": {"model": "whisper-1"}, "turn_detection": {"type": "server_vad"}}}
    with server.session("ga", REALTIME) as wire:
        session = {"type": "transcription", "audio": audio}
        updated = wire.ask("session.update", session=session, event_id="Initial update")
        assert (updated["type"], updated["session"]["type"]) == ("session.updated", "transcription")
        assert updated["session"]["audio"]["input"]["turn_detection"]["type"] == "server_vad"
        assert wire.hear("echo") == "echo"


@pytest.mark.parametrize("target", ["/v1/realtime", REALTIME])
@pytest.mark.parametrize("top_level", [True, False, "session_id"])
def test_a_beta_update_on_a_ga_socket_makes_it_beta(server, target, top_level):
    fields = {"input_audio_transcription": {"model": "whisper-1"}, "modalities": ["text"]}
    with server.session("ga", target) as wire:
        assert wire.created["type"] == "session.created"
        more = fields if top_level else {"session": fields}
        if top_level == "session_id":
            more |= {"session": wire.created["session"]["id"]}
        updated = wire.ask("transcription_session.update", **more)
        assert updated["type"] == "transcription_session.updated"
        assert updated["session"]["input_audio_transcription"] == WHISPER
        wire.append(speech("alpha"))
        assert wire.until("conversation.item.created")


def test_a_flat_update_on_a_ga_socket(server):
    with server.session("ga") as wire:
        flat = {
            "input_audio_transcription": {"model": "whisper-1"},
            "turn_detection": None,
            "input_audio_format": "pcm16",
        }
        updated = wire.ask("session.update", session=flat)
        assert updated["type"] == "session.updated"
        heard = updated["session"]["audio"]["input"]
        assert (heard["transcription"], heard["turn_detection"]) == (WHISPER, None)


def test_a_nested_update_without_a_type_on_a_beta_socket(server):
    audio = {"input": {"transcription": {"model": "whisper-1", "prompt": "", "language": ""}, "noise_reduction": None}}
    with server.session("beta") as wire:
        updated = wire.ask("session.update", session={"audio": audio})
        assert updated["type"] == "transcription_session.updated"
        assert updated["session"]["input_audio_transcription"] == WHISPER


def test_a_nested_update_with_a_type_on_a_beta_socket_makes_it_ga(server):
    audio = {"input": {"transcription": {"model": "whisper-1"}}}
    with server.session("beta") as wire:
        updated = wire.ask("session.update", session={"type": "transcription", "audio": audio})
        assert updated["type"] == "session.updated"
        assert updated["session"]["audio"]["input"]["transcription"] == WHISPER


@pytest.mark.parametrize("session", [{}, {"include": None}, {"turn_detection": {}}])
def test_an_update_without_a_type_or_of_nothing_is_answered_once(server, dialect, session):
    with server.session(dialect) as wire:
        updated = wire.ask("session.update", session=session)
        assert updated["session"] == wire.created["session"]
        assert wire.ask("input_audio_buffer.clear")["type"] == "input_audio_buffer.cleared"
