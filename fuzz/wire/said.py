"""What clients say, as hypothesis strategies: events that are right, nearly right, and nothing of the kind."""

import json

from hypothesis import strategies as st

from fuzz.targets import forms, recordings
from fuzz.targets.frames import VALUES, WORDS
from fuzz.targets.offers import SDP
from fuzz.targets.streams import FRAMES
from hark.models.scripted import WORDS as SPEECH
from hark.protocol.wire import CLIENT_EVENTS
from malformed import BETA, FLAT, GA, everything, nested
from serving import base64, speech

# Events of the wider Realtime API, events of servers, and names that are nearly right.
STRANGE = [
    "conversation.item.added", "error", "input_audio_buffer.apend", "input_audio_buffer.speech_started",
    "session.created", "session.delete", "response.done", "transcription_session.close", "", "session.Update",
    "mcp_list_tools.in_progress", "output_audio_buffer.started", "conversation.create", "session.close ",
]  # fmt: skip
RATES = [8_000, 16_000, 24_000, 44_100, 48_000]


def one(values):
    """`sampled_from` without the representation of values that are large."""
    return st.integers(0, len(values) - 1).map(lambda place: values[place])


words = one([*WORDS, *VALUES])
numbers = st.sampled_from([0, -1, 1, 0.5, 300, 24_000, 1e308, 10**30, -(2**63) - 1, float("nan"), float("inf")])
texts = st.text(max_size=6) | one(["\0", "\ud800", "é" * 500, "x" * 70_000, "item_1", "root", "mine", ""])
scalars = st.none() | st.booleans() | numbers | words | texts
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)


def optional(**fields):
    return st.fixed_dictionaries({}, optional=fields)


# ---- settings, as they may be

formats = st.one_of(
    st.builds(lambda rate: {"type": "audio/pcm", "rate": rate}, st.sampled_from(RATES)),
    st.sampled_from([{"type": "audio/pcmu"}, {"type": "audio/pcma"}]),
)
detections = st.none() | st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("server_vad")},
        optional={
            "threshold": st.sampled_from([0, 0.3, 0.9, 1]),
            "prefix_padding_ms": st.sampled_from([0, 300, 10_000]),
            "silence_duration_ms": st.sampled_from([0, 100, 500]),
            "idle_timeout_ms": st.sampled_from([None, 5_000]),
        },
    ),
    st.builds(
        lambda how: {"type": "semantic_vad", "eagerness": how}, st.sampled_from(["low", "medium", "high", "auto"])
    ),
)
heard = st.none() | optional(
    model=st.sampled_from(["whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-transcribe-diarize"]),
    language=st.sampled_from(["en", "de", "", None]),
    prompt=st.text(max_size=20),
    delay=st.sampled_from(["minimal", "xhigh", None]),
)
noise = st.sampled_from([None, {"type": "near_field"}, {"type": "far_field", "strength": 0.3}])
include = st.sampled_from([None, [], ["item.input_audio_transcription.logprobs"], ["hark.voice_activity"]])
nested_sessions = st.fixed_dictionaries(
    {"type": st.sampled_from(["transcription", "realtime"])},
    optional={
        "audio": st.builds(
            lambda given: {"input": given},
            optional(format=formats, turn_detection=detections, transcription=heard, noise_reduction=noise),
        ),
        "include": include,
        "instructions": st.text(max_size=10),
    },
)
flat_sessions = optional(
    input_audio_format=st.sampled_from(["pcm16", "g711_ulaw", "g711_alaw", {"type": "pcm16", "rate": 16_000}]),
    turn_detection=detections,
    input_audio_transcription=heard,
    input_audio_noise_reduction=noise,
    include=include,
)
wrong_sessions = one([nested(path, value) for path, value in (*GA, *BETA, *FLAT)]) | trees
sessions = nested_sessions | flat_sessions | nested_sessions | flat_sessions | wrong_sessions
updates = st.builds(
    lambda kind, session: {"type": kind, "session": session},
    st.sampled_from(["session.update", "transcription_session.update"]),
    sessions,
)

# ---- events

item_ids = st.sampled_from(["<open>", "<last>", "<first>", "mine", "root", "item_0", "", "\0"])
contents = st.lists(
    st.sampled_from([{"type": "input_text", "text": "é"}, {"type": "input_audio", "audio": "AA=="}, {}, 5, None]),
    max_size=2,
)
items = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "function_call_output", 5])},
    optional={"id": item_ids, "role": st.sampled_from(["user", "assistant", None]), "content": contents | trees},
)
events = st.one_of(
    updates,
    st.sampled_from([{"type": "input_audio_buffer.commit"}, {"type": "input_audio_buffer.clear"}]),
    st.builds(
        lambda kind, item_id: {"type": f"conversation.item.{kind}", "item_id": item_id},
        st.sampled_from(["retrieve", "delete", "truncate"]),
        item_ids,
    ),
    st.builds(
        lambda item, after: {"type": "conversation.item.create", "item": item} | after,
        items,
        st.just({}) | st.builds(lambda item_id: {"previous_item_id": item_id}, item_ids),
    ),
    st.sampled_from(
        [{"type": "response.create"}, {"type": "response.cancel"}, {"type": "output_audio_buffer.clear"}],
    ),
)
strange = st.one_of(
    st.builds(lambda kind: {"type": kind}, st.sampled_from(STRANGE) | st.text(max_size=5)),
    st.builds(
        lambda kind, more: more | {"type": kind},
        st.sampled_from(CLIENT_EVENTS),
        st.dictionaries(words, trees, max_size=3),
    ),
    st.dictionaries(words, trees, max_size=4),
)


def _mutated(text, at, how, more):
    at %= len(text) + 1
    return {"cut": text[:at], "insert": text[:at] + more + text[at:], "swap": text[:at] + more + text[at + 1 :]}[how]


encoded = st.builds(json.dumps, events | strange | trees)
junk = st.one_of(
    st.builds(_mutated, encoded, st.integers(0, 500), st.sampled_from(["cut", "insert", "swap"]), st.text(max_size=3)),
    one(["", " ", "null", "[]", '"', "{}" * 2, "[" * 50_000, '{"type":' * 3_000, "\0", "\ufeff{}", "é" * 9_000]),
    st.text(max_size=30),
    st.binary(max_size=30),
)

# ---- audio

speeches = st.builds(
    lambda said, rate, pause, encoding: speech(*said, rate=rate, pause_s=pause, encoding=encoding),
    st.lists(st.sampled_from(SPEECH), min_size=1, max_size=4),
    st.sampled_from([8_000, 24_000]),
    st.sampled_from([0, 0.1, 0.6]),
    st.sampled_from(["pcm16", "pcm16", "g711_ulaw"]),
)
sounds = st.one_of(
    speeches,
    speeches,
    st.integers(0, 24_000).map(bytes),
    st.binary(max_size=200),
    st.binary(min_size=1, max_size=40).map(lambda some: some * 200),
)
appended = st.one_of(
    sounds.map(base64),
    sounds.map(lambda sound: base64(sound).rstrip("=")),
    one(["A", "====", "AAAA\nAAAA", "\r\n", "äöü=", "AA=A", "-_-_", "A" * 1_001, "AAA\0"]),
)

# ---- the wire itself

BAD = ["continued", "no-text", "surrogate", "reserved", "unmasked", "huge", "close-bad"]
fatal = one([*(FRAMES[name] for name in BAD), b"\x83\x80\1\2\3\4", b"\x09\x80\1\2\3\4"])
partial = st.builds(lambda data, at: data[: 1 + at % (len(data) - 1)], one(list(FRAMES.values())), st.integers(0, 300))

# ---- HTTP

orders = st.builds(json.dumps, wrong_sessions | st.builds(lambda session: {"session": session}, sessions)) | encoded
bodies = orders.map(lambda text: text.encode(errors="surrogatepass")) | st.binary(max_size=60)
fields = st.lists(
    st.tuples(one(list(forms.FIELDS)), one(list(forms.FIELDS.values())) | st.text(max_size=8)), max_size=4
)
files = one([data for _, data in recordings.seeds()])
broken_files = st.builds(
    lambda data, at, more: data[: at % len(data)] + more, files, st.integers(0, 9_000), st.binary(max_size=40)
)
lines = one(SDP.splitlines())
offered = st.one_of(
    st.just(SDP),
    st.lists(lines, max_size=30).map("\r\n".join),
    st.builds(lambda at, more: _mutated(SDP, at, "insert", more), st.integers(0, 2_000), st.text(max_size=20) | lines),
)
requests = one([data for _, data in everything() if len(data) < 100_000])
