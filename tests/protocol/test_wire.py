"""Frames to commands, as a pure function: what is understood, and what is refused in which words."""

import json

import pytest

from hark.core import messages as m
from hark.core.settings import AudioFormat, Patch, TranscriptionPatch
from hark.protocol.wire import CLIENT_EVENTS, MAX_APPEND_BYTES, decode
from serving import base64


def frame(kind, **fields):
    return json.dumps({"type": kind, **fields})


def refusal(raw):
    command = decode(raw)
    assert isinstance(command, m.Refuse)
    assert command.error.type == "invalid_request_error"
    return command


# ---- what is understood

PATCH = Patch(transcription=TranscriptionPatch(model="whisper-1", language="en"), turn_detection=None)
GA_PATCH = {"audio": {"input": {"transcription": {"model": "whisper-1", "language": "en"}, "turn_detection": None}}}
BETA_PATCH = {"input_audio_transcription": {"model": "whisper-1", "language": "en"}, "turn_detection": None}
UNDERSTOOD = [
    (frame("input_audio_buffer.append", audio="AAEC"), m.AppendAudio(audio=b"\0\1\2")),
    (frame("input_audio_buffer.append", audio="", event_id="TODO"), m.AppendAudio(audio=b"", event_id="TODO")),
    (frame("input_audio_buffer.commit", event_id=None), m.CommitAudio()),
    (frame("input_audio_buffer.clear", event_id="x" * 512), m.ClearAudio(event_id="x" * 512)),
    (frame("session.update", session=GA_PATCH), m.UpdateSettings(patch=PATCH)),
    (frame("session.update", session=BETA_PATCH), m.UpdateSettings(patch=PATCH)),
    (frame("session.update", session={}), m.UpdateSettings(patch=Patch())),
    (frame("conversation.item.retrieve", item_id="item_1"), m.RetrieveItem(item_id="item_1")),
    (frame("conversation.item.delete", item_id="item_1"), m.DeleteItem(item_id="item_1")),
    (frame("conversation.item.truncate", item_id="i", content_index=0, audio_end_ms=9), m.TruncateItem(item_id="i")),
    (
        frame("conversation.item.create", previous_item_id="root", item={"type": "message", "content": [1, None]}),
        m.CreateItem(item={"type": "message", "content": [1, None]}, previous_item_id="root"),
    ),
    (frame("response.create", event_id="e"), m.CreateResponse(event_id="e")),
    (frame("response.create", response={"modalities": ["text"]}), m.CreateResponse()),
    (frame("response.cancel", response_id="resp_1"), m.Ignored()),
    (frame("output_audio_buffer.clear"), m.Ignored()),
    (frame("session.close", reason="done"), m.FinishSession()),
    ('\n {"event_id": "e",\t"type": "input_audio_buffer.commit"} \r\n', m.CommitAudio(event_id="e")),
    ('{"type":"input_audio_buffer.commit","event_id":"a","event_id":"b"}', m.CommitAudio(event_id="b")),
    ('{"type":"input_audio_buffer.commit","event_id":"\\u0000é\\ud83d\\ude00"}', m.CommitAudio(event_id="\0é😀")),
]


@pytest.mark.parametrize(("raw", "command"), UNDERSTOOD)
def test_what_every_event_asks(raw, command):
    assert decode(raw) == command


def test_no_event_is_without_an_example():
    shown = {json.loads(raw)["type"] for raw, _ in UNDERSTOOD} | {"transcription_session.update"}
    assert shown == set(CLIENT_EVENTS)


@pytest.mark.parametrize(
    "fields",
    [
        {"session": BETA_PATCH},
        BETA_PATCH,
        {"session": "sess_1", **BETA_PATCH},
        {"session": None, **BETA_PATCH, "event_id": "e"},
    ],
)
def test_a_beta_update_stands_under_session_or_at_the_top(fields):
    decoded = decode(frame("transcription_session.update", **fields))
    assert (decoded.patch, decoded.shows) == (
        Patch(kind="transcription", transcription=PATCH.transcription, turn_detection=None),
        "beta",
    )


@pytest.mark.parametrize(
    ("kind", "session", "dialect"),
    [
        ("session.update", {"type": "transcription"} | GA_PATCH, "ga"),
        ("session.update", GA_PATCH, None),
        ("session.update", BETA_PATCH, None),
        ("transcription_session.update", BETA_PATCH, "beta"),
    ],
)
def test_an_update_may_show_the_dialect(kind, session, dialect):
    assert decode(frame(kind, session=session)).shows == dialect


@pytest.mark.parametrize(
    ("written", "audio_format"),
    [
        ("pcm16", AudioFormat("pcm16", 24_000)),
        ("g711_ulaw", AudioFormat("g711_ulaw", 8_000)),
        ({"type": "audio/pcma"}, AudioFormat("g711_alaw", 8_000)),
        ({"type": "audio/pcm"}, AudioFormat("pcm16", 24_000)),
        ({"type": "audio/pcm", "rate": None}, AudioFormat("pcm16", 24_000)),
        ({"rate": 16_000}, AudioFormat("pcm16", 16_000)),
    ],
)
@pytest.mark.parametrize("shape", [lambda f: {"audio": {"input": {"format": f}}}, lambda f: {"input_audio_format": f}])
def test_formats_in_both_spellings_and_both_shapes(shape, written, audio_format):
    session = shape(written)
    if isinstance(written, str) and "audio" in session:
        assert refusal(frame("session.update", session=session)).error.param == "session.audio.input.format"
    else:
        assert decode(frame("session.update", session=session)).patch == Patch(format=audio_format)


@pytest.mark.parametrize("text", ["AAECAw==", "AAECAw", "AAEC\nAw==\n", "AA\r\nECAw=", " AAECAw== "])
def test_base64_is_forgiven_breaks_and_padding(text):
    assert decode(frame("input_audio_buffer.append", audio=text)).audio == b"\0\1\2\3"


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 255])
def test_audio_of_any_number_of_bytes(size):
    audio = bytes(range(size))
    assert decode(frame("input_audio_buffer.append", audio=base64(audio))).audio == audio


# ---- what is refused

APPEND, UPDATE = "input_audio_buffer.append", "session.update"
REFUSED = [
    (b"\0\1", "invalid_event", None, "binary frames are not supported"),
    ("", "invalid_json", None, "not valid JSON"),
    ('{"type":', "invalid_json", None, "not valid JSON"),
    ('{"type":"nope","more":[', "invalid_json", None, "not valid JSON"),
    ('{"type":"input_audio_buffer.commit"} {}', "invalid_json", None, "not valid JSON"),
    ('{"type":"session.update","session":{"speed":NaN}}', "invalid_json", None, "not valid JSON"),
    ('{"type":"input_audio_buffer.commit","event_id":"\\ud800"}', "invalid_json", None, "not valid JSON"),
    ('{"type":"input_audio_buffer.commit","event_id":"\ud800"}', "invalid_json", None, "not valid JSON"),
    ("[]", "invalid_event", None, "no JSON object"),
    ("null", "invalid_event", None, "no JSON object"),
    ('"input_audio_buffer.commit"', "invalid_event", None, "no JSON object"),
    ("{}", "invalid_event", "type", "Missing required parameter: 'type'."),
    (frame("nope"), "invalid_value", "type", "Invalid value: 'nope'. Supported values are: "),
    (frame(None), "invalid_value", "type", "Invalid value: null. Supported"),
    (frame(5), "invalid_value", "type", "Invalid value: 5. Supported"),
    (frame(APPEND), "missing_required_parameter", "audio", "Missing required parameter: 'audio'."),
    (frame(APPEND, audio="", bogus=1), "unknown_parameter", "bogus", "Unknown parameter: 'bogus'."),
    (frame(APPEND, audio=[0]), "invalid_value", "audio", "expected `str`, got `array`"),
    (frame(APPEND, audio="A"), "invalid_value", "audio", "expected base64"),
    (frame(APPEND, audio="AA-_"), "invalid_value", "audio", "expected base64"),
    (frame(APPEND, audio="é***"), "invalid_value", "audio", "expected base64"),
    (frame(APPEND, audio="", event_id=5), "invalid_value", "event_id", "expected `str | null`, got `int`"),
    (frame(UPDATE), "missing_required_parameter", "session", "'session'"),
    (frame(UPDATE, session=None), "invalid_value", "session", "expected `object`, got `null`"),
    (frame(UPDATE, session=[1]), "invalid_value", "session", "expected `object`, got `array`"),
    (frame(UPDATE, session={"bogus": 1}), "unknown_parameter", "session.bogus", "Unknown parameter: 'session.bogus'."),
    (frame(UPDATE, session={"type": "x"}), "invalid_value", "session.type", "'transcription', 'realtime'"),
    (frame("conversation.item.create", item=5), "invalid_value", "item", "expected `object`, got `int`"),
    (frame("conversation.item.delete"), "missing_required_parameter", "item_id", "'item_id'"),
    (frame("conversation.item.retrieve", item_id=None), "invalid_value", "item_id", "expected `str`, got `null`"),
    (frame("transcription_session.update", bogus=1), "unknown_parameter", "session.bogus", "'session.bogus'"),
]


@pytest.mark.parametrize(("raw", "code", "param", "says"), REFUSED)
def test_a_refusal_says_what_is_wrong_and_where(raw, code, param, says):
    error = refusal(raw).error
    assert (error.code, error.param) == (code, param)
    assert says in error.message


@pytest.mark.parametrize(
    ("path", "value", "code", "says"),
    [
        ("transcription.bogus", 1, "unknown_parameter", "Unknown parameter: "),
        ("transcription.model", 5, "invalid_value", "expected `str | null`, got `int`"),
        ("transcription.languages", "en", "invalid_value", "got `str`"),
        ("transcription.delay", "soon", "invalid_value", "'minimal', 'low', 'medium', 'high', 'xhigh'"),
        ("format.type", "audio/mp3", "invalid_value", "'audio/pcm', 'audio/pcmu', 'audio/pcma'"),
        ("format.rate", "24k", "invalid_value", "got `str`"),
        ("noise_reduction.type", "far", "invalid_value", "'near_field', 'far_field'"),
        ("turn_detection.type", "vad", "invalid_value", "'server_vad', 'semantic_vad', 'none'"),
        ("turn_detection.eagerness", "max", "invalid_value", "'low', 'medium', 'high', 'auto'"),
        ("turn_detection.threshold", "0.5", "invalid_value", "got `str`"),
        ("turn_detection.bogus", None, "unknown_parameter", "Unknown parameter: "),
    ],
)
def test_a_nested_fault_is_named_as_the_client_wrote_it(path, value, code, says):
    head, key = path.split(".")
    flat = head if head == "turn_detection" else f"input_audio_{head}"
    for session, where in (
        ({"type": "transcription", "audio": {"input": {head: {key: value}}}}, f"session.audio.input.{path}"),
        ({flat: {key: value}}, f"session.{flat}.{key}"),
    ):
        error = refusal(frame("session.update", session=session)).error
        assert (error.code, error.param) == (code, where)
        assert says in error.message


def test_the_supported_events_are_listed():
    message = refusal(frame("nope")).error.message
    assert all(f"'{name}'" in message for name in CLIENT_EVENTS)


def test_an_append_may_hold_15_mib_and_no_byte_more():
    assert len(decode(frame(APPEND, audio=base64(bytes(MAX_APPEND_BYTES)))).audio) == MAX_APPEND_BYTES
    error = refusal(frame(APPEND, audio=base64(bytes(MAX_APPEND_BYTES + 1)), event_id="e")).error
    assert (error.code, error.param) == ("invalid_value", "audio")
    assert f"at most {MAX_APPEND_BYTES} bytes" in error.message


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "nope"},
        {},
        {"type": APPEND, "audio": "*"},
        {"type": APPEND, "audio": 5},
        {"type": APPEND, "audio": "", "bogus": 1},
        {"type": UPDATE, "session": {"bogus": 1}},
        {"type": UPDATE, "session": 1},
    ],
)
def test_the_event_id_comes_back_whatever_else_is_wrong(fields):
    for order in (fields | {"event_id": "mine"}, {"event_id": "mine"} | fields):
        assert refusal(json.dumps(order)).event_id == "mine"


@pytest.mark.parametrize(
    "opening", ['{"type":"nope","x":', '{"type":"session.update","session":{"tools":', '{"event_id":']
)
@pytest.mark.parametrize("brackets", ["[]", ('{"a":', "0}")])
@pytest.mark.parametrize("closed", [True, False])
def test_deep_nesting_is_refused(opening, brackets, closed):
    depth = 50_000
    raw = opening + brackets[0] * depth + (brackets[1][-1] * depth + "}" * opening.count("{") if closed else "")
    error = refusal(raw).error
    assert (error.code, "nested too deeply" in error.message) == ("invalid_json", True)
