"""Session objects on the wire: what a session starts with, what an update changes, what it leaves (contract C)."""

import time

import pytest

VAD = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200}
REALTIME_VAD = VAD | {"idle_timeout_ms": None, "create_response": True, "interrupt_response": True}
BETA_NAMES = {
    "format": "input_audio_format",
    "transcription": "input_audio_transcription",
    "noise_reduction": "input_audio_noise_reduction",
    "turn_detection": "turn_detection",
}
WHISPER = {"model": "whisper-1", "language": None, "prompt": None}


def write(dialect, include=None, **parts):
    """A session object with these parts, in the shape of the dialect."""
    more = {} if include is None else {"include": include}
    if dialect == "ga":
        return {"type": "transcription", "audio": {"input": parts}, **more}
    return {BETA_NAMES[name]: value for name, value in parts.items()} | more


def read(dialect, session):
    """The parts of a session object, by GA's names."""
    if dialect == "ga":
        return session["audio"]["input"]
    return {name: session[flat] for name, flat in BETA_NAMES.items()}


def update(wire, dialect, **parts):
    """The parts after an update, which must be accepted."""
    kind = "session.update" if dialect == "ga" else "transcription_session.update"
    updated = wire.ask(kind, session=write(dialect, **parts))
    assert updated["type"] == f"{kind}d", updated
    return read(dialect, updated["session"])


def param(dialect, field):
    head, dot, rest = field.partition(".")
    return f"session.{f'audio.input.{head}' if dialect == 'ga' else BETA_NAMES[head]}{dot}{rest}"


# ---- how a session starts

STARTS = {
    ("ga", "transcription"): {
        "type": "transcription",
        "object": "realtime.transcription_session",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": VAD,
            }
        },
        "include": None,
    },
    ("beta", "transcription"): {
        "object": "realtime.transcription_session",
        "input_audio_noise_reduction": None,
        "turn_detection": VAD,
        "input_audio_format": "pcm16",
        "input_audio_transcription": None,
        "client_secret": None,
        "include": None,
    },
    ("ga", "realtime"): {
        "type": "realtime",
        "object": "realtime.session",
        "model": "gpt-realtime",
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": REALTIME_VAD,
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": "alloy", "speed": 1.0},
        },
        "include": None,
    },
    ("beta", "realtime"): {
        "object": "realtime.session",
        "model": "gpt-realtime",
        "modalities": ["audio", "text"],
        "instructions": "",
        "voice": "alloy",
        "output_audio_format": "pcm16",
        "tools": [],
        "tool_choice": "auto",
        "temperature": 0.8,
        "max_response_output_tokens": "inf",
        "speed": 1.0,
        "tracing": None,
        "turn_detection": REALTIME_VAD,
        "input_audio_format": "pcm16",
        "input_audio_transcription": None,
        "input_audio_noise_reduction": None,
        "client_secret": None,
        "include": None,
    },
}


@pytest.mark.parametrize("kind", ["transcription", "realtime"])
def test_a_session_starts_as_at_openai(server, dialect, kind):
    query = "intent=transcription" if kind == "transcription" else "model=gpt-realtime"
    with server.session(dialect, f"/v1/realtime?{query}") as wire:
        event, session = wire.created["type"], dict(wire.created["session"])
        assert session.pop("id").startswith("sess_")
        assert session.pop("expires_at") > time.time() + 3_000
        assert session == STARTS[dialect, kind]
        beta_name = dialect == "beta" and kind == "transcription"
        assert event == ("transcription_session.created" if beta_name else "session.created")


@pytest.mark.parametrize("query", ["intent=transcription", "model=gpt-realtime", "model=gpt-live-transcribe"])
def test_a_client_may_send_back_what_it_was_shown(server, dialect, query):
    with server.session(dialect, f"/v1/realtime?{query}") as wire:
        shown = wire.created["session"]
        assert wire.ask("session.update", session=shown)["session"] == shown
        if dialect == "beta" and "intent" in query:
            assert wire.ask("transcription_session.update", session=shown)["session"] == shown


# ---- what an update changes

TRANSCRIPTION, TURNS, NOISE = "transcription", "turn_detection", "noise_reduction"
SEMANTIC = {"type": "semantic_vad", "eagerness": "auto"}
FULL = {"model": "whisper-1", "language": "en", "prompt": "x"}
CHANGES = {
    "only the keys that are sent": (
        [{TRANSCRIPTION: FULL}, {TRANSCRIPTION: {"language": "de"}}],
        FULL | {"language": "de"},
    ),
    "null switches off": ([{TRANSCRIPTION: FULL}, {TRANSCRIPTION: None}], None),
    "null, and on again from the start": (
        [{TRANSCRIPTION: FULL}, {TRANSCRIPTION: None}, {TRANSCRIPTION: {"model": "whisper-1"}}],
        WHISPER,
    ),
    "no model is the default one": (
        [{TRANSCRIPTION: {"language": "en"}}],
        {"model": "scripted", "language": "en", "prompt": None},
    ),
    "empty is unset": ([{TRANSCRIPTION: {"model": "whisper-1", "language": "", "prompt": ""}}], WHISPER),
    "empty takes back": ([{TRANSCRIPTION: FULL}, {TRANSCRIPTION: {"language": "", "prompt": ""}}], WHISPER),
    "null takes back": ([{TRANSCRIPTION: FULL}, {TRANSCRIPTION: {"language": None, "prompt": None}}], WHISPER),
    "an empty model is none": ([{TRANSCRIPTION: FULL}, {TRANSCRIPTION: {"model": ""}}], FULL),
    "languages for language": (
        [{TRANSCRIPTION: FULL}, {TRANSCRIPTION: {"languages": ["en", "de"]}}],
        FULL | {"language": None, "languages": ["en", "de"]},
    ),
    "language for languages": (
        [{TRANSCRIPTION: {"model": "whisper-1", "languages": ["en"]}}, {TRANSCRIPTION: {"language": "de"}}],
        WHISPER | {"language": "de"},
    ),
    "hints are echoed": (
        [{TRANSCRIPTION: FULL | {"keywords": ["gate"], "delay": "low"}}],
        FULL | {"keywords": ["gate"], "delay": "low"},
    ),
    "hints are taken back": (
        [
            {TRANSCRIPTION: FULL | {"keywords": ["gate"], "delay": "low"}},
            {TRANSCRIPTION: {"keywords": [], "delay": None}},
        ],
        FULL,
    ),
    "noise": ([{NOISE: {"type": "near_field"}}], {"type": "near_field"}),
    "noise off": ([{NOISE: {"type": "near_field"}}, {NOISE: None}], None),
    "turns off": ([{TURNS: None}], None),
    "turns none": ([{TURNS: {"type": "none"}}], None),
    "turns on by type alone": ([{TURNS: None}, {TURNS: {"type": "server_vad"}}], VAD),
    "turns stay by type alone": (
        [{TURNS: {"threshold": 0.7}}, {TURNS: {"type": "server_vad"}}],
        VAD | {"threshold": 0.7},
    ),
    "turns key by key": (
        [{TURNS: {"threshold": 0.7}}, {TURNS: {"silence_duration_ms": 0}}],
        VAD | {"threshold": 0.7, "silence_duration_ms": 0},
    ),
    "turns: null is not sent": ([{TURNS: {"threshold": None, "create_response": None}}], VAD),
    "idle timeout": ([{TURNS: {"idle_timeout_ms": 5_000}}], VAD | {"idle_timeout_ms": 5_000}),
    "idle timeout off": ([{TURNS: {"idle_timeout_ms": 5_000}}, {TURNS: {"idle_timeout_ms": None}}], VAD),
    "semantic by type alone": ([{TURNS: {"type": "semantic_vad"}}], SEMANTIC),
    "semantic key by key": (
        [{TURNS: {"type": "semantic_vad"}}, {TURNS: {"eagerness": "low"}}],
        SEMANTIC | {"eagerness": "low"},
    ),
    "another type starts anew": ([{TURNS: {"type": "semantic_vad"}}, {TURNS: {"type": "server_vad"}}], VAD),
    "agents-js": (
        [{TURNS: SEMANTIC | {"create_response": True, "interrupt_response": True, "model_version": "v1"}}],
        SEMANTIC,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("updates", "result"), CHANGES.values(), ids=CHANGES)
def test_an_update_changes(server, dialect, updates, result):
    with server.session(dialect) as wire:
        before = read(dialect, wire.created["session"])
        (name,) = updates[0]
        for parts in updates:
            after = update(wire, dialect, **parts)
        assert after[name] == result
        assert {part: after[part] for part in before if part != name} == {p: before[p] for p in before if p != name}


@pytest.mark.parametrize(
    ("updates", "turns"),
    [
        ([{TRANSCRIPTION: {"model": "gpt-realtime-whisper"}}], None),
        ([{TRANSCRIPTION: {"model": "gpt-live-transcribe"}}], None),
        ([{TRANSCRIPTION: {"model": "gpt-live-transcribe"}, TURNS: {"type": "server_vad"}}], VAD),
        ([{TURNS: {"type": "server_vad"}}, {TRANSCRIPTION: {"model": "gpt-live-transcribe"}}], VAD),
        ([{TRANSCRIPTION: {"model": "gpt-live-transcribe"}}, {TURNS: {"type": "server_vad"}}], VAD),
        ([{TRANSCRIPTION: {"model": "gpt-4o-transcribe"}}], VAD),
    ],
)
def test_live_models_are_committed_by_the_client_unless_it_says_otherwise(server, dialect, updates, turns):
    with server.session(dialect) as wire:
        for parts in updates:
            after = update(wire, dialect, **parts)
        assert after[TURNS] == turns


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_any_rate_is_taken_and_echoed(server, dialect, rate):
    encoding = "audio/pcm" if dialect == "ga" else "pcm16"
    with server.session(dialect) as wire:
        assert update(wire, dialect, format={"type": "audio/pcm", "rate": rate})["format"] == {
            "type": encoding,
            "rate": rate,
        }
        assert wire.hear("alpha", "golf", rate=rate) == "alpha golf"


@pytest.mark.parametrize("encoding", ["g711_ulaw", "g711_alaw"])
def test_g711(server, dialect, encoding):
    name = {"g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}[encoding]
    with server.session(dialect) as wire:
        written = {"type": name} if dialect == "ga" else encoding
        assert update(wire, dialect, format=written)["format"] == written
        assert wire.hear("alpha", "golf", rate=8_000, encoding=encoding) == "alpha golf"


# ---- what is refused

BELOW, ABOVE = "integer_below_min_value", "integer_above_max_value"
REFUSED = [
    ({"format": {"type": "audio/pcm", "rate": 7_999}}, BELOW, "format.rate"),
    ({"format": {"type": "audio/pcm", "rate": 48_001}}, ABOVE, "format.rate"),
    ({"format": {"type": "audio/pcm", "rate": 10**30}}, ABOVE, "format.rate"),
    ({"format": {"type": "audio/pcm", "rate": -1}}, BELOW, "format.rate"),
    ({TURNS: {"threshold": 1.5}}, "decimal_above_max_value", "turn_detection.threshold"),
    ({TURNS: {"threshold": -0.1}}, "decimal_below_min_value", "turn_detection.threshold"),
    ({TURNS: {"prefix_padding_ms": -1}}, BELOW, "turn_detection.prefix_padding_ms"),
    ({TURNS: {"silence_duration_ms": 10**9}}, ABOVE, "turn_detection.silence_duration_ms"),
    ({TURNS: {"idle_timeout_ms": 4_999}}, BELOW, "turn_detection.idle_timeout_ms"),
    ({TURNS: {"bogus": 1}}, "unknown_parameter", "turn_detection.bogus"),
    ({NOISE: {"type": "near_field", "strength": 2}}, "decimal_above_max_value", "noise_reduction.strength"),
    ({TRANSCRIPTION: {"language": "en", "languages": ["de"]}}, "invalid_value", "transcription.languages"),
    ({TRANSCRIPTION: {"model": "gpt-5"}}, "invalid_model", "transcription.model"),
    ({TRANSCRIPTION: {"delay": "soon"}}, "invalid_value", "transcription.delay"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "code", "field"), REFUSED)
def test_a_bad_update_is_refused_whole(server, dialect, parts, code, field):
    with server.session(dialect) as wire:
        before = update(wire, dialect, transcription=FULL)
        good = {TRANSCRIPTION: {"prompt": "y"}, NOISE: {"type": "far_field"}}
        session = write(dialect, **{name: good.get(name, {}) | parts.get(name, {}) for name in good | parts})
        error = wire.ask("session.update", session=session, event_id="mine")["error"]
        assert (error["code"], error["param"], error["event_id"]) == (code, param(dialect, field), "mine")
        assert update(wire, dialect) == before


def test_an_unknown_include_is_refused(server, dialect):
    with server.session(dialect) as wire:
        error = wire.ask("session.update", session=write(dialect, include=["usage"]))["error"]
        assert (error["code"], error["param"]) == ("invalid_value", "session.include")
        assert "'item.input_audio_transcription.logprobs'" in error["message"]
