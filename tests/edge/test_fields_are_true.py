"""Each row of docs/api.md about what a client sends, proven by sending it to a running server.

A row without a probe fails. Honoured: the effect is seen, or, for what is handed to the model, the echo. Kept: it is
echoed. Ignored: no error and no echo. Refused: the code that is stated. What the server sends: test_fields_sent.py.
"""

from base64 import b64decode

import httpx
import numpy as np
import pytest

from hark.protocol import event_fields, fields
from hark.protocol.fields import ANY, INSIDE
from hark.session.turns import PATIENCE
from serving import COMPLETED, base64, speech
from uploading import SAID, post

REALTIME = "/v1/realtime?model=gpt-realtime"
SAMPLES = {
    "type": "realtime", "include": ["item.input_audio_transcription.logprobs"], "model": "gpt-realtime-mini",
    "input_audio_format": "g711_ulaw", "format.type": "audio/pcmu", "format.rate": 16_000,
    "transcription.model": "gpt-4o-transcribe", "language": "de", "languages": ["de", "en"], "prompt": "Hark.",
    "keywords": ["gate"], "delay": "low", "noise_reduction.type": "far_field", "strength": 0.5,
    "turn_detection.type": "semantic_vad", "threshold": 0.7, "prefix_padding_ms": 100, "silence_duration_ms": 700,
    "eagerness": "low", "idle_timeout_ms": 6000, "create_response": False, "interrupt_response": False,
    "model_version": "v1", "instructions": "Be brief.", "output.format": {"type": "audio/pcmu"},
    "output.voice": {"id": "voice_1"}, "output.speed": 1.5, "speed": 1.5, "voice": "echo", "modalities": ["text"],
    "output_modalities": ["text"], "max_output_tokens": 7, "max_response_output_tokens": 7, "temperature": 0.7,
    "tools": [{"type": "function", "name": "f", "parameters": {}}], "tool_choice": {"type": "function", "name": "f"},
    "tracing": {"group_id": "g"}, "truncation": {"type": "retention_ratio", "retention_ratio": 0.5},
    "session prompt": {"id": "p", "variables": {}}, "parallel_tool_calls": True, "reasoning": {"effort": "low"},
    "output_audio_format": "g711_ulaw", "id": "sess_mine", "object": "mine", "expires_at": 1, "client_secret": {"v": 1},
}  # fmt: skip
BESIDE = {"strength": {"type": "near_field"}, "eagerness": {"type": "semantic_vad"}}


def nested(path, value, beside=None):
    *outer, name = path.split(".")
    found = {name: value, **(beside or {})}
    for part in reversed(outer):
        found = {part: found}
    return found


def at(value, path):
    """What stands there, None if nothing does."""
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def sample(path):
    if path in ("prompt", "prompt.…"):
        return SAMPLES["session prompt"]
    path = path.removesuffix(INSIDE)
    short = path.replace("input_audio_format.", "format.").replace("input_audio_transcription.", "transcription.")
    short = short.replace("input_audio_noise_reduction.", "noise_reduction.")
    return SAMPLES[next(name for name in sorted(SAMPLES, key=len, reverse=True) if f".{short}".endswith(f".{name}"))]


ROWS = [(dialect, row) for dialect, section in (("ga", fields.GA_SESSION), ("beta", fields.BETA_SESSION))
        for row in section.rows]  # fmt: skip


@pytest.mark.parametrize(("dialect", "row"), ROWS, ids=lambda value: getattr(value, "path", value))
def test_a_field_of_a_session(server, dialect, row):
    if row.path == ANY:
        with server.session(dialect, REALTIME) as wire:
            error = wire.ask("session.update", session={**nested("voice", 1), "nonsense": 1})["error"]
            assert (error["code"], error["param"]) == (row.code, "session.nonsense")
        return
    path, value = row.path.removesuffix(INSIDE), sample(row.path)
    if path == "model":  # set once, so by who opens the session
        url = f"{server.url}/v1/realtime/" + ("client_secrets" if dialect == "ga" else "sessions")
        body = {"session": {"type": "realtime", "model": value}} if dialect == "ga" else {"model": value}
        answer = httpx.post(url, json=body).json()
        assert answer.get("session", answer)["model"] == value
        return
    with server.session(dialect, REALTIME) as wire:
        told = wire.ask("session.update", session=nested(path, value, BESIDE.get(path.rpartition(".")[2])))
        assert told["type"] == "session.updated", told
        echoed = at(told["session"], path)
        if row.fate == "ignored":
            assert echoed != value
        elif path == "input_audio_format.type":
            assert told["session"]["input_audio_format"] == "g711_ulaw"
        else:
            assert echoed == value


# ---- effects -------------------------------------------------------------------------------------------------------

SILENCE = bytes(48_000)  # a second


def turn(wire, **options):
    wire.append(SILENCE + speech("alpha", "bravo", **options))
    return {event["type"]: event for event in wire.until(COMPLETED)}


def committed(wire):
    wire.append(speech("alpha", pause_s=0.1))
    wire.send("input_audio_buffer.commit")
    return [event["type"] for event in wire.until(COMPLETED)]


def rate_is_taken(wire, change):
    change(16_000)
    assert wire.hear("alpha", "bravo", rate=16_000) == "alpha bravo"


def format_is_taken(wire, change):
    change("g711_ulaw")
    assert wire.hear("alpha", "bravo", rate=8_000, encoding="g711_ulaw") == "alpha bravo"


def model_is_taken(wire, change):
    for name, shape in (("whisper-1", "duration"), ("gpt-4o-transcribe", "tokens")):
        change(name)
        assert turn(wire, pause_s=1)[COMPLETED]["usage"]["type"] == shape


def threshold_is_taken(wire, change):
    change(0.99)  # the scripted scorer is never so sure
    assert "input_audio_buffer.speech_started" not in committed(wire)


def detection_goes_off(wire, change):
    change("none")
    assert "input_audio_buffer.speech_started" not in committed(wire)


def padding_is_taken(wire, change):
    starts = []
    for padding in (0, 500):
        change(padding)
        starts.append(turn(wire, pause_s=1)["input_audio_buffer.speech_started"]["audio_start_ms"])
    length_ms = len(SILENCE + speech("alpha", "bravo", pause_s=1)) // 48
    assert starts[0] - (starts[1] - length_ms) == pytest.approx(500, abs=32)  # a window of the detector


def eagerness_is_taken(wire, change):
    lengths = []
    for eagerness in ("high", "low"):
        change(eagerness)
        events = turn(wire, pause_s=PATIENCE["low"].most_ms / 1000 + 0.5)
        begin = events["input_audio_buffer.speech_started"]["audio_start_ms"]
        lengths.append(events["input_audio_buffer.speech_stopped"]["audio_end_ms"] - begin)
    assert lengths[1] > lengths[0] + 500


def silence_is_taken(wire, change):
    lengths = []
    for silence in (200, 700):
        change(silence)
        events = turn(wire, pause_s=1.5)
        begin = events["input_audio_buffer.speech_started"]["audio_start_ms"]
        lengths.append(events["input_audio_buffer.speech_stopped"]["audio_end_ms"] - begin)
    assert lengths[1] - lengths[0] == pytest.approx(500, abs=32)


def silence_is_told(wire, change):
    change(5_000)
    wire.append(6 * SILENCE)
    events = {event["type"]: event for event in wire.until(COMPLETED)}
    told = events["input_audio_buffer.timeout_triggered"]
    assert told["audio_end_ms"] - told["audio_start_ms"] == 5_000
    assert events[COMPLETED]["transcript"] == ""


def hum(wire):
    """How loud steady noise is in the item that is kept of it, after what it takes to be learnt."""
    wire.ask("session.update", session={"turn_detection": None})  # which keeps silence until it is committed
    noise = np.random.default_rng(0).normal(0, 300, 72_000).astype("<i2")
    wire.append(noise.tobytes())
    wire.send("input_audio_buffer.commit")
    item = wire.until(COMPLETED)[-1]["item_id"]
    kept = wire.ask("conversation.item.retrieve", item_id=item)["item"]["content"][0]["audio"]
    return float(np.abs(np.frombuffer(b64decode(kept), "<i2")[24_000:].astype(float)).mean())


def noise_goes_down(wire, change):
    before = hum(wire)
    change("far_field")
    assert hum(wire) < before / 2


def noise_goes_down_by_its_share(wire, change):
    levels = []
    for strength in (0.0, 0.5, 1.0):
        change(strength)
        levels.append(hum(wire))
    assert levels[0] > 1.3 * levels[1] > 1.6 * levels[2]


def logprobs_come(wire, change):
    change(["item.input_audio_transcription.logprobs"])
    assert turn(wire)[COMPLETED]["logprobs"]


EFFECTS = {
    "rate": rate_is_taken, "format.type": format_is_taken, "input_audio_format": format_is_taken,
    "transcription.model": model_is_taken, "threshold": threshold_is_taken, "turn_detection.type": detection_goes_off,
    "silence_duration_ms": silence_is_taken, "include": logprobs_come,
    "prefix_padding_ms": padding_is_taken, "eagerness": eagerness_is_taken, "idle_timeout_ms": silence_is_told,
    "noise_reduction.type": noise_goes_down, "strength": noise_goes_down_by_its_share,
}  # fmt: skip


@pytest.mark.parametrize("effect", EFFECTS)
def test_what_is_honoured_has_its_effect(server, dialect, effect):
    section = fields.GA_SESSION if dialect == "ga" else fields.BETA_SESSION
    known = [row for row in section.rows if row.fate == "honoured"]
    spelled = {"format.type": "input_audio_format.type", "transcription.model": "input_audio_transcription.model"}
    spelled |= {"noise_reduction.type": "input_audio_noise_reduction.type"}
    whole = spelled.get(effect, effect) if dialect == "beta" else effect
    paths = [row.path for row in known if f".{row.path}".endswith(f".{whole}")]
    assert paths or (dialect, effect) == ("ga", "input_audio_format")
    for path in paths:
        with server.session(dialect) as wire:

            def change(value, wire=wire, path=path):
                name = "session.update" if dialect == "ga" else "transcription_session.update"
                told = wire.ask(name, session=nested(path, value, BESIDE.get(effect)))
                assert told["type"].endswith("session.updated"), told

            EFFECTS[effect](wire, change)


# ---- client events -------------------------------------------------------------------------------------------------

ITEM = {"id": "item_mine", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}
CREATED = {"ga": "conversation.item.done", "beta": "conversation.item.created"}
NEEDS = {
    "input_audio_buffer.append": {"audio": base64(speech("alpha", pause_s=0.1))},
    "input_audio_buffer.commit": {}, "input_audio_buffer.clear": {}, "output_audio_buffer.clear": {},
    "session.update": {"session": {}}, "transcription_session.update": {"session": {}},
    "conversation.item.retrieve": {"item_id": "item_mine"}, "conversation.item.delete": {"item_id": "item_mine"},
    "conversation.item.truncate": {"item_id": "item_mine", "content_index": 0, "audio_end_ms": 1},
    "conversation.item.create": {"item": ITEM | {"id": "item_other"}, "previous_item_id": "root"},
    "response.create": {"response": {"instructions": "x"}}, "response.cancel": {"response_id": "resp_1"},
    "session.close": {},
}  # fmt: skip
ANSWERS = {
    "input_audio_buffer.append": None, "output_audio_buffer.clear": None, "response.cancel": None,
    "input_audio_buffer.commit": "error", "input_audio_buffer.clear": "input_audio_buffer.cleared",
    "transcription_session.update": "transcription_session.updated", "response.create": "response.created",
    "conversation.item.retrieve": "conversation.item.retrieved", "conversation.item.truncate": "error",
    "conversation.item.delete": "conversation.item.deleted",
}  # fmt: skip


@pytest.mark.parametrize("row", event_fields.CLIENT.rows, ids=lambda row: f"{row.event} {row.path}")
def test_a_field_of_a_client_event(server, dialect, row):
    kept = row.path.removesuffix(INSIDE)
    if kept not in ("type", "event_id"):
        assert kept in NEEDS[row.event], "a field needs a probe"
    with server.session(dialect) as wire:
        wire.send("conversation.item.create", item=ITEM)
        wire.until(CREATED[dialect])
        if row.event == "session.close":
            wire.send("session.close", event_id="mine")
            assert wire.ending()[1] == 1000
            return
        if row.path == "event_id":  # it comes back in an error, so let there be one
            needed = NEEDS[row.event] if row.event != "transcription_session.update" else {}
            error = wire.ask(row.event, event_id="mine", **needed, nonsense=1)["error"]
            assert (error["event_id"], error["code"]) == ("mine", "unknown_parameter")
            return
        wire.send(row.event, **NEEDS[row.event])
        if row.event == "input_audio_buffer.append":
            wire.send("input_audio_buffer.commit")
            assert wire.until(COMPLETED)[-1]["transcript"] == "alpha"
            return
        told = wire.receive() if ANSWERS.get(row.event, "") is not None else wire.ask("input_audio_buffer.clear")
        expected = ANSWERS.get(row.event) or {
            "session.update": "transcription_session.updated" if dialect == "beta" else "session.updated",
            "conversation.item.create": "conversation.item.added" if dialect == "ga" else "conversation.item.created",
        }.get(row.event, "input_audio_buffer.cleared")
        assert told["type"] == expected
        if row.fate == "refused":
            assert told["error"]["code"] == row.code
        if row.path == "item_id" and row.fate == "honoured":
            assert (told.get("item_id") or told["item"]["id"]) == "item_mine"
        if row.path == "previous_item_id":
            assert told["previous_item_id"] is None
        if row.path == "item.…":
            assert {name: told["item"][name] for name in ITEM} == NEEDS[row.event]["item"]


# ---- HTTP ----------------------------------------------------------------------------------------------------------

LIFETIME = {"anchor": "created_at", "seconds": 100}
BETA_HEARD = "input_audio_transcription"
MINTS = {
    "session.type": ({"session": {"type": "transcription"}}, "session.type", "transcription"),
    "model": ({"model": "whisper-1"}, "session.audio.input.transcription.model", "whisper-1"),
    "language": ({"language": "de"}, "transcription.language", "de"),
    "vad": ({"vad": False}, "turn_detection", None),
    "vad.enabled": ({"vad": {"enabled": False}}, "turn_detection", None),
}


@pytest.mark.parametrize("row", fields.GA_MINTING.rows + fields.BETA_MINTING.rows, ids=lambda row: row.path)
@pytest.mark.parametrize("endpoint", ["client_secrets", "transcription_sessions", "sessions"])
def test_a_field_of_minting(server, endpoint, row):
    ga = endpoint == "client_secrets"
    if row not in (fields.GA_MINTING if ga else fields.BETA_MINTING).rows:
        return
    post_ = lambda body: httpx.post(f"{server.url}/v1/realtime/{endpoint}", json=body)  # noqa: E731
    last = row.path.rpartition(".")[2]
    if row.path == ANY:
        error = post_({"nonsense": 1}).json()["error"]
        assert (error["code"], error["param"]) == (row.code, "nonsense")
    elif last == "anchor":
        error = post_(nested(row.path.removesuffix(".anchor"), {"seconds": 100})).json()["error"]
        assert (error["code"], error["param"]) == ("missing_required_parameter", row.path)
    elif last in ("seconds", "expires_in"):
        body = {"expires_in": 9} if last == "expires_in" else nested(row.path, 9, {"anchor": "created_at"})
        error = post_(body).json()["error"]
        assert (error["code"], error["param"]) == ("integer_below_min_value", row.path)
    else:
        body, path, value = MINTS[row.path]
        answer = post_(body).json()
        if path in ("turn_detection", "transcription.language"):
            prefix = "session.audio.input." if ga else ""
            path = prefix + (path if ga else path.replace("transcription", BETA_HEARD))
            assert path.rpartition(".")[2] in (at(answer, path.rpartition(".")[0]) if "." in path else answer)
        assert at(answer, path) == value


@pytest.mark.parametrize("row", fields.CONNECT.rows, ids=lambda row: row.path)
def test_a_parameter_of_the_handshake(server, serve, row):
    if row.path in ("authorization", "api-key", "access_token"):
        with serve(api_key="k" * 20).socket(f"/v1/realtime?{row.path}={'k' * 20}") as wire:
            assert wire.receive()["type"] == "session.created"
        return
    if row.path == "after":
        with server.session() as wire:
            wire.socket.socket.close()
        query = f"resume={wire.created['session']['id']}&after={wire.created['event_id']}"
        with server.socket(f"/v1/realtime?{query}") as wire:
            assert wire.receive()["resumed"]["events_missed"] is False
        return
    queries = {
        "resume": ("/v1/realtime?resume=sess_1", "error.code", "session_not_found"),
        "model": ("/v1/realtime?model=whisper-1", "session.audio.input.transcription.model", "whisper-1"),
        "deployment": ("/v1/realtime?deployment=whisper-1", "session.audio.input.transcription.model", "whisper-1"),
        "intent": ("/v1/realtime?model=gpt-realtime&intent=transcription", "session.type", "transcription"),
        "api-version": ("/openai/realtime?api-version=2025-04-01-preview", "type", "transcription_session.created"),
        "call_id": ("/v1/realtime?call_id=rtc_1", "error.code", "call_not_found"),
        ANY: ("/v1/realtime?nonsense=1", "type", "session.created"),
    }
    target, path, value = queries[row.path]
    with server.socket(target) as wire:
        assert at(wire.receive(), path) == value


AUTO = ("chunking_strategy", "auto")
FORMS = {
    "model": ([("model", "gpt-4o-transcribe")], lambda it: it.json()["usage"]["type"] == "tokens"),
    "response_format": ([("response_format", "text")], lambda it: it.text == f"{SAID}\n"),
    "stream": ([("stream", "true")], lambda it: it.text.endswith("data: [DONE]\n\n")),
    "language": ([("language", "xx")], lambda it: it.json()["error"]["code"] == "invalid_language_format"),
    "languages": ([("languages", "xx")], lambda it: it.json()["error"]["param"] == "languages"),
    "prompt": ([("prompt", "x" * 40), ("model", "gpt-4o-transcribe")],
               lambda it: it.json()["usage"]["input_token_details"]["text_tokens"] == 10),
    "keywords": ([("keywords", "<")], lambda it: it.json()["error"]["param"] == "keywords"),
    "temperature": ([("temperature", "0.5"), ("response_format", "verbose_json")],
                    lambda it: it.json()["segments"][0]["temperature"] == 0.5),
    "include": ([("include", "logprobs")], lambda it: bool(it.json()["logprobs"])),
    "timestamp_granularities": ([("timestamp_granularities", "word"), ("response_format", "verbose_json")],
                                lambda it: "words" in it.json() and "segments" not in it.json()),
    "chunking_strategy": ([AUTO, ("model", "gpt-4o-transcribe-diarize")], lambda it: it.status_code == 200),
    "chunking_strategy.type": ([("chunking_strategy[type]", "x")], lambda it: it.status_code == 400),
    "known_speaker_names": ([("known_speaker_names", "x")], lambda it: it.json()["text"] == SAID),
    "known_speaker_references": ([("known_speaker_references", "x")], lambda it: it.json()["text"] == SAID),
    ANY: ([("nonsense", "x")], lambda it: it.json()["text"] == SAID),
}  # fmt: skip


@pytest.mark.parametrize("row", fields.FORM.rows, ids=lambda row: row.path)
def test_a_field_of_an_upload(server, row):
    group, _, name = row.path.partition(".")
    if row.path == "file":
        assert post(server).json()["text"] == SAID
    elif name and name != "type":
        more = {"threshold": "0.99", "prefix_padding_ms": "0", "silence_duration_ms": "5000"}[name]
        fields_ = [(f"{group}[type]", "server_vad"), (f"{group}[{name}]", more), ("response_format", "verbose_json")]
        plain = [(f"{group}[type]", "server_vad"), ("response_format", "verbose_json")]
        heard, usual = (post(server, *sent).json()["segments"] for sent in (fields_, plain))
        assert [(it["start"], it["end"]) for it in heard] != [(it["start"], it["end"]) for it in usual]
    else:
        sent, check = FORMS[row.path]
        assert check(post(server, *sent))


@pytest.mark.parametrize("row", fields.CALLS.rows, ids=lambda row: row.path)
def test_a_part_of_an_offer(server, row):
    """That they have an effect, test_calls.py shows; here, that they are read."""
    parts = {"sdp": (None, "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"), "session": (None, "{}")}
    name, wrong = row.path.removesuffix(INSIDE), {"sdp": "x", "session": "{"}
    error = httpx.post(f"{server.url}/v1/realtime/calls", files=parts | {name: (None, wrong[name])}).json()["error"]
    assert error["code"] == {"sdp": "invalid_offer", "session": "invalid_json"}[name]
