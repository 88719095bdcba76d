"""`hark doctor --log`: what is said of a captured log, in every form of log that people have."""

import json

import pytest

from hark.doctor.logs import Conversation, read_log
from hark.doctor.reading import diagnose
from hark.errors import CallerError
from serving import BETA, COMPLETED, Server, base64, speech

INPUT = "input_audio_buffer"
TRANSCRIPTION = "conversation.item.input_audio_transcription"
VAD = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200}


def session(detection=VAD, model="whisper-1", **heard):
    named = {"model": model} if model else None
    given = {"format": {"type": "audio/pcm", "rate": 24_000}, "turn_detection": detection, "transcription": named}
    return {"id": "sess_1", "type": "transcription", "audio": {"input": given | heard}}


CREATED = {"type": "session.created", "session": session()}
UPDATE = {"type": "session.update", "session": {"type": "transcription"}}
UPDATED = {"type": "session.updated", "session": session()}
BY_HAND = {"type": "session.updated", "session": session(None)}
APPEND = {"type": f"{INPUT}.append", "audio": "64000 characters of base64"}
STARTED = {"type": f"{INPUT}.speech_started", "item_id": "item_1", "audio_start_ms": 0}
STOPPED = {"type": f"{INPUT}.speech_stopped", "item_id": "item_1", "audio_end_ms": 900}
COMMIT = {"type": f"{INPUT}.commit"}
COMMITTED = {"type": f"{INPUT}.committed", "item_id": "item_1", "previous_item_id": None}
DONE = {"type": COMPLETED, "item_id": "item_1", "transcript": "open the gate"}
FAILED = {"type": f"{TRANSCRIPTION}.failed", "item_id": "item_1", "error": {"type": "server_error", "message": "no"}}


def error(message, code=None, kind="invalid_request_error", **fields):
    return {"type": "error", "error": {"type": kind, "code": code, "message": message, "param": None, **fields}}


def connect(url="/v1/realtime?intent=transcription", subprotocols=(), **headers):
    return {"connect": {"transport": "websocket", "url": url, "headers": headers, "subprotocols": subprotocols}}


def close(code, reason="", direction="received"):
    return {"direction": direction, "close": {"code": code, "reason": reason}}


def written(tmp_path, *entries):
    """A log of ours. A bare event is wrapped, in the direction that its type has."""
    path = tmp_path / "log.jsonl"
    lines = [entry if "type" not in entry else {"event": entry} for entry in entries]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def findings(path, outcome="broken"):
    return [step.finding for step in diagnose(read_log(path)) if step.outcome == outcome]


HEARD = [CREATED, UPDATE, UPDATED, APPEND, STARTED, STOPPED, COMMITTED, DONE]
SERVER_ERROR = error("The server had an error while processing your request. Sorry about that!", kind="server_error")
# What stands in a log -> what is the matter.
LOGS = {
    "a wrong key": ([connect(), error("Incorrect API key provided: sk-x.", "invalid_api_key"), close(3000)],
                    "wrong-key"),
    "no key": ([connect(), error("Missing bearer or basic authentication in header"), close(3000)], "no-credential"),
    "a transcription model": (
        [connect("/v1/realtime?model=gpt-4o-transcribe"), error(
            'Model "gpt-4o-transcribe" is a transcription model and cannot be used as the realtime session model.',
            "invalid_model"), close(4000)], "transcription-model-as-session-model",
    ),
    "intent and model": (
        [connect("/v1/realtime?intent=transcription&model=gpt-4o-transcribe"), CREATED, UPDATE,
         error('Model "gpt-4o-transcribe" is not supported in transcription mode.', "invalid_model"), close(4000)],
        "intent-with-model",
    ),
    "beta off": ([connect(**{"openai-beta": "realtime=v1"}),
                  error("The Realtime Beta API is no longer supported.", "beta_api_shape_disabled"), close(4000)],
                 "beta-switched-off"),
    "an expired secret": ([connect(authorization="Bearer ek***ab"),
                           error("Ephemeral token expired", "invalid_api_key"), close(3000)], "secret-expired"),
    "the other kind of secret": (
        [connect(), error("You cannot start a Realtime beta session with a GA client secret.", "api_version_mismatch"),
         close(4000)], "secret-of-other-kind",
    ),
    "the wrong path, at Hark": (
        [connect("/v1/realtime/calls"), error("There is no WebSocket at …", "unknown_url"), close(4000)],
        "wrong-websocket-path",
    ),
    "session.update in beta": (
        [{"type": "transcription_session.created", "session": {}}, UPDATE, SERVER_ERROR],
        "session-update-in-beta-session",
    ),
    "the beta's update in GA": (
        [CREATED, {"type": "transcription_session.update", "session": {}},
         error("Passing a transcription session update event to a realtime session is not allowed.")],
        "beta-update-in-ga-session",
    ),
    "a low rate": ([CREATED, UPDATE, error("Invalid 'session.audio.input.format.rate': integer below minimum value.",
                                           "integer_below_min_value", param="session.audio.input.format.rate")],
                   "rate-too-low"),
    "no type": ([CREATED, UPDATE, error("Missing required parameter: 'session.type'.", "missing_required_parameter")],
                "missing-session-type"),
    "an unknown field": ([CREATED, UPDATE, error("Unknown parameter: 'session.vad'.", "unknown_parameter")],
                         "unknown-parameter"),
    "binary frames": ([CREATED, error("Expected a text WebSocket message; binary frames are not supported.",
                                      "invalid_event"), APPEND, STARTED, STOPPED, COMMITTED, DONE], "binary-frames"),
    "silence": ([connect(), APPEND, APPEND], "silent-server"),
    "an update that nobody answers": ([CREATED, UPDATE, *HEARD[3:]], "update-unanswered"),
    "no audio": ([CREATED, UPDATE, UPDATED, close(1000, direction="sent")], "no-audio"),
    "no speech": ([CREATED, APPEND, APPEND, close(1000, direction="sent")], "no-speech-found"),
    "no commit": ([CREATED, UPDATE, BY_HAND, APPEND], "never-committed"),
    "no end of the turn": ([CREATED, APPEND, STARTED], "turn-never-ended"),
    "gone too early": ([*HEARD[:-1], close(1000, direction="sent")], "closed-too-early"),
    "no transcript": (HEARD[:-1], "no-transcript"),
    "no model": ([{"type": "session.created", "session": session(model=None)}, *HEARD[3:-1]], "transcription-off"),
    "a failed turn": ([*HEARD[:-1], FAILED], "transcript-failed"),
    "an hour": ([*HEARD, error("Your session hit the maximum duration of 60 minutes.", "session_expired"), close(1001)],
                "session-expired"),
    "cut off": ([*HEARD, close(1006)], "cut-off"),
    "too large": ([*HEARD, close(1009)], "too-large-message"),
    "a server that stops": ([*HEARD, close(1012)], "server-restarts"),
}  # fmt: skip


@pytest.mark.parametrize("case", LOGS)
def test_what_went_wrong_is_named(tmp_path, case):
    entries, finding = LOGS[case]
    assert findings(written(tmp_path, *entries))[:1] == [finding]


def test_a_session_in_which_all_went_well(tmp_path):
    path = written(tmp_path, connect(), *HEARD, close(1000, direction="sent"))
    steps = diagnose(read_log(path))
    assert [step.outcome for step in steps] == ["ok"] * 4
    assert any("open the gate" in step.got for step in steps)


def test_a_commit_that_races_turn_detection_ends_nothing(tmp_path):
    empty = error("Error committing input audio buffer: buffer too small.", "input_audio_buffer_commit_empty")
    path = written(tmp_path, *HEARD, COMMIT, empty)
    assert findings(path) == []
    assert findings(path, "note") == ["commit-empty"]


def test_a_key_in_a_page(tmp_path):
    page = connect(subprotocols=["realtime", "openai-insecure-api-key.sk***89"], origin="https://app.example")
    assert findings(written(tmp_path, page, *HEARD), "note") == ["key-instead-of-secret"]


def test_audio_is_measured(tmp_path):
    (step,) = [step for step in diagnose(read_log(written(tmp_path, *HEARD))) if step.floor == "speech"]
    assert step.did == "sent 1.0 s of audio"


def test_audio_that_a_log_keeps_is_looked_at(tmp_path, recording):
    swapped = (recording("beckett", 24_000)[:48_000] * 32_767).astype(">i2").tobytes()
    append = {"type": f"{INPUT}.append", "audio": base64(swapped)}
    assert findings(written(tmp_path, CREATED, append))[0] == "wrong-audio"


# ---- the forms of logs ---------------------------------------------------------------------------------------------


def test_a_log_of_the_server(tmp_path):
    server = Server(event_log=str(tmp_path))
    with server.socket("/v1/realtime?model=nonsense") as wire:
        wire.ending()
    with server.session("ga") as wire:
        wire.hear("alpha")
    server.stop()
    first, second = sorted(tmp_path.glob("*.jsonl"))
    assert findings(first) == ["unknown-model"]
    assert findings(second) == []


def test_a_list_of_events(tmp_path):
    path = tmp_path / "events.json"
    path.write_text(json.dumps(LOGS["no commit"][0]))
    assert findings(path) == ["never-committed"]


def test_a_console(tmp_path):
    path = tmp_path / "console.txt"
    lines = [f"12:00:01 Data channel message: {json.dumps(event)}" for event in (CREATED, UPDATE, SERVER_ERROR)]
    path.write_text("Connecting …\n" + "\n".join(lines) + "\n{broken\n")
    assert findings(path) == ["server-fault", "no-audio"]


def har(*entries):
    return json.dumps({"log": {"version": "1.2", "entries": entries}})


def socket_entry(*messages, status=101, url="wss://api.openai.com/v1/realtime?intent=transcription", content=""):
    offered = "realtime, openai-insecure-api-key.ek_0123456789abcdef"
    headers = [{"name": "Sec-WebSocket-Protocol", "value": offered}]
    kinds = {f"{INPUT}.append", "session.update", f"{INPUT}.commit"}
    return {
        "request": {"method": "GET", "url": url, "headers": headers},
        "response": {"status": status, "content": {"text": content}},
        "_webSocketMessages": [
            {"type": "send" if m["type"] in kinds else "receive", "time": 1.0, "opcode": 1, "data": json.dumps(m)}
            for m in messages
        ],
    }


def post(path, status, body, content_type="application/json"):
    headers = [
        {"name": "Authorization", "value": "Bearer ek_0123456789abcdef"},
        {"name": "Content-Type", "value": content_type},
    ]
    return {
        "request": {"method": "POST", "url": f"https://api.openai.com{path}", "headers": headers},
        "response": {"status": status, "content": {"text": json.dumps(body)}},
    }


EMPTY = {"error": {"message": "", "type": "", "code": "", "param": ""}}
REFUSED = {"error": {"message": "Incorrect API key provided: ek_0123456789abcdef.", "type": "invalid_request_error",
                     "param": None, "code": "invalid_api_key"}}  # fmt: skip
HARS = {
    "a path that is none": (socket_entry(status=403, url="wss://api.openai.com/v1/realtime/transcription_sessions"),
                            "wrong-websocket-path"),
    "no WebSocket": (socket_entry(status=403), "no-realtime"),
    "a proxy's rules": (socket_entry(status=403, content="<html>Forbidden</html>"), "proxy-refused"),
    "an offer to the wrong URL": (post("/v1/realtime/transcription_sessions?model=gpt-4o-transcribe", 401, REFUSED,
                                       "application/sdp"), "offer-to-wrong-url"),
    "an offer refused without a word": (post("/v1/realtime?model=gpt-4o-transcribe", 400, EMPTY, "application/sdp"),
                                        "empty-refusal"),
    "minting with a secret": (post("/v1/realtime/client_secrets", 401, REFUSED), "secret-instead-of-key"),
    "CORS": (post("/v1/realtime/calls", 0, {}, "application/sdp"), "origin-refused"),
    "no commit": (socket_entry(CREATED, UPDATE, BY_HAND, APPEND), "never-committed"),
}  # fmt: skip


@pytest.mark.parametrize("case", HARS)
def test_a_har_file(tmp_path, case):
    entry, finding = HARS[case]
    path = tmp_path / "session.har"
    path.write_text(har({"request": {"url": "https://app.example/"}, "response": {"status": 200}}, entry))
    assert findings(path) == [finding]
    assert "0123456789abcdef" not in repr(diagnose(read_log(path)))


def test_several_connections_in_one_log(tmp_path):
    path = written(tmp_path, connect(), *HEARD, close(1000), connect(), *LOGS["a failed turn"][0])
    assert len([part for part in read_log(path) if isinstance(part, Conversation)]) == 2
    assert findings(path) == ["transcript-failed"]


@pytest.mark.parametrize("content", ["", "nothing of the kind", "{}", "[1, 2]", '{"log": {"entries": []}}', "\0\xff"])
def test_what_is_no_log(tmp_path, content):
    path = tmp_path / "log"
    path.write_text(content, "latin-1")
    with pytest.raises(CallerError, match="Expected a log with events of the Realtime API"):
        read_log(path)


@pytest.mark.parametrize("name", ["not-there", "."])
def test_what_cannot_be_read(tmp_path, name):
    with pytest.raises(CallerError, match="Cannot read"):
        read_log(tmp_path / name)


def test_a_real_session_of_the_beta(tmp_path):
    server = Server(event_log=str(tmp_path))
    with server.socket(additional_headers=BETA) as wire:
        wire.receive()
        wire.append(speech("alpha"))
        wire.until(COMPLETED)
    server.stop()
    (path,) = tmp_path.glob("*.jsonl")
    assert findings(path) == []
