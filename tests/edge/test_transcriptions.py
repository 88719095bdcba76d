"""Uploads to a real server with deterministic models: forms of answer, encodings of the form, errors."""

import json

import httpx
import pytest

from hark.models.catalog import OPENAI_NAMES
from serving import PATIENCE_S, speech
from uploading import SAID, URL, encoded, pcm, post, wav


def frames(answer):
    """The frames of a stream, which are `data:` alone, without the last one."""
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    lines = answer.text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    assert all(line.startswith("data: ") and "\n" not in line for line in lines[:-1])
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


# ---- forms of answer


@pytest.mark.parametrize("url", [URL, "/audio/transcriptions"])
def test_text_and_whole_seconds(server, url):
    answer = post(server, ("model", "whisper-1"), url=url)
    assert answer.json() == {"text": SAID, "usage": {"type": "duration", "seconds": 2}}


def test_usage_in_tokens(server):
    answer = post(server, ("model", "gpt-4o-transcribe"), ("prompt", "eightchr"))
    assert answer.json()["usage"] == {
        "type": "tokens", "total_tokens": 23, "input_tokens": 20,
        "input_token_details": {"text_tokens": 2, "audio_tokens": 18}, "output_tokens": 3,
    }  # fmt: skip


@pytest.mark.parametrize("card", OPENAI_NAMES, ids=lambda card: card.name)
def test_every_name_transcribes(server, card):
    extra = [("chunking_strategy", "auto")] if "diarize" in card.name else []
    answer = post(server, ("model", card.name), *extra).json()
    assert (answer["text"], answer["usage"]["type"]) == (SAID, card.usage)
    assert answer.get("languages") == ([{"code": "en"}] if card.languages else None)


def test_without_a_model_the_servers_own_transcribes(server):
    assert post(server).json()["text"] == SAID


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("text", f"{SAID}\n"),
        ("srt", "1\n00:00:00,000 --> 00:00:00,948\nalpha bravo\n\n2\n00:00:01,076 --> 00:00:01,800\ncharlie\n"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:00.948\nalpha bravo\n\n00:00:01.076 --> 00:00:01.800\ncharlie\n"),
    ],
)
def test_plain_forms(server, form, body):
    answer = post(server, ("model", "whisper-1"), ("response_format", form))
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == body


def test_verbose_json(server):
    asked = [("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment"), ("temperature", "0.5")]
    told = post(server, ("model", "whisper-1"), ("response_format", "verbose_json"), *asked).json()
    assert (told["task"], told["language"], told["duration"], told["text"]) == ("transcribe", "english", 1.8, SAID)
    assert told["usage"] == {"type": "duration", "seconds": 2}
    assert [segment["text"] for segment in told["segments"]] == [" alpha bravo", " charlie"]
    first, second = told["segments"]
    assert (first["id"], first["start"], second["seek"], second["end"]) == (0, 0, 107, 1.8)
    assert first["avg_logprob"] == pytest.approx(-0.1)
    assert first["temperature"] == 0.5
    assert [word["word"] for word in told["words"]] == SAID.split()
    # Said at 0.05, 0.25 and 1.4: the estimates are not far away.
    for word, start in zip(told["words"], (0.05, 0.25, 1.4), strict=True):
        assert word["start"] == pytest.approx(start, abs=0.1)
        assert word["end"] > word["start"]


@pytest.mark.parametrize(
    ("asked", "keys"), [([], {"segments"}), (["word"], {"words"}), (["segment", "word"], {"segments", "words"})]
)
def test_granularities(server, asked, keys):
    fields = [("timestamp_granularities", value) for value in asked]
    told = post(server, ("response_format", "verbose_json"), *fields).json()
    assert told.keys() & {"segments", "words"} == keys


def test_a_turn_is_one_speakers(server):
    fields = ("model", "gpt-4o-transcribe-diarize"), ("chunking_strategy", "auto")
    told = post(server, *fields, ("response_format", "diarized_json")).json()
    assert (told["task"], told["duration"], told["text"]) == ("transcribe", 1.8, SAID)
    assert [(part["id"], part["speaker"], part["text"]) for part in told["segments"]] == [
        ("seg_0", "A", " alpha bravo"),
        ("seg_1", "A", " charlie"),
    ]
    streamed = frames(post(server, *fields, ("response_format", "diarized_json"), ("stream", "true")))
    assert streamed[:-1] == told["segments"]
    assert (streamed[-1]["type"], streamed[-1]["text"]) == ("transcript.text.done", SAID)


def test_logprobs_join_to_the_text(server):
    told = post(server, ("include[]", "logprobs"), ("model", "gpt-4o-transcribe")).json()
    assert "".join(entry["token"] for entry in told["logprobs"]) == SAID
    *deltas, done = frames(post(server, ("include[]", "logprobs"), ("stream", "true")))
    assert "".join(entry["token"] for delta in deltas for entry in delta["logprobs"]) == SAID
    assert done["logprobs"] == told["logprobs"]


def test_deltas_of_a_stream_add_up(server):
    *deltas, done = frames(post(server, ("model", "gpt-4o-mini-transcribe"), ("stream", "true")))
    assert {delta["type"] for delta in deltas} == {"transcript.text.delta"}
    assert len(deltas) >= 2
    assert "".join(delta["delta"] for delta in deltas) == SAID == done["text"]
    assert (done["type"], done["usage"]["type"]) == ("transcript.text.done", "tokens")


def test_whisper_1_does_not_stream(server):
    assert post(server, ("model", "whisper-1"), ("stream", "true")).json()["text"] == SAID


@pytest.mark.parametrize("form", ["json", "text", "srt", "vtt", "verbose_json", "diarized_json"])
def test_silence_has_no_words_in_any_form(server, form):
    answer = post(server, ("response_format", form), file=wav(bytes(32_000)))
    assert answer.status_code == 200
    assert answer.text.endswith("\n") or answer.json()["text"] == ""
    assert answer.text != ""


def test_the_plain_upload(server):
    assert post(server, url="/transcribe").json() == {"text": SAID}
    assert post(server, ("model", "gpt-4o-transcribe"), ("stream", "true"), url="/transcribe").json() == {"text": SAID}


def test_translation_is_refused_with_what_is_possible(server):
    answer = post(server, ("model", "whisper-1"), url="/v1/audio/translations")
    assert answer.status_code == 400
    assert "/v1/audio/transcriptions" in answer.json()["error"]["message"]


# ---- what may be sent


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("mp3", "libmp3lame"), ("ogg", "libopus"), ("mp4", "aac"), ("flac", "flac"), ("webm", "libopus"),
        ("wav", "pcm_s24le"),
    ],
)  # fmt: skip
def test_containers(server, container, codec):
    """Lossy codecs change loudness, and that is what the words of these models are; so no word is compared."""
    told = post(server, VERBOSE, file=encoded(pcm(48_000), container, codec)).json()
    assert told["duration"] == pytest.approx(1.8, abs=0.1)
    assert told["text"]


@pytest.mark.parametrize(
    "fields",
    [
        [("chunking_strategy", "auto")],
        [("chunking_strategy", '{"type": "server_vad", "silence_duration_ms": 300}')],
        [("chunking_strategy[type]", "server_vad"), ("chunking_strategy[threshold]", "0.4")],
        [("chunking_strategy[type]", "server_vad"), ("chunking_strategy[silence_duration_ms]", "300")],
        [("languages[]", "en"), ("languages[]", "de"), ("keywords[]", "gate")],
        [("languages[0]", "en"), ("keywords[0]", "gate"), ("keywords[1]", "north")],
        [("language", "EN"), ("prompt", "A gate."), ("temperature", "1")],
        [("language", ""), ("prompt", ""), ("temperature", ""), ("stream", ""), ("response_format", "")],
        [("known_speaker_names[]", "Ann"), ("known_speaker_references[]", "data:audio/wav;base64,AAAA")],
        [("stream", "False"), ("vad_filter", "true"), ("nothing[known][here]", "x"), ("[]", "")],
    ],
)
def test_spellings_of_fields(server, fields):
    assert post(server, ("model", "gpt-transcribe"), *fields).json()["text"] == SAID


def test_the_form_as_dotnet_writes_it(server):
    """Unquoted names, a quoted boundary, a type on each text, a file name twice, an object as JSON (contract A.8)."""

    def part(disposition, content, kind="text/plain; charset=utf-8"):
        head = f"--b-1\r\nContent-Type: {kind}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
        return head.encode() + content + b"\r\n"

    body = b"".join(
        [
            part("name=file; filename=a.wav; filename*=utf-8''a.wav", wav(), "application/octet-stream"),
            part("name=model", b"gpt-4o-transcribe-diarize"),
            part("name=response_format", b"diarized_json"),
            part("name=chunking_strategy", b'{"type":"server_vad"}', "application/json"),
            b"--b-1--\r\n",
        ]
    )
    kind = {"Content-Type": 'multipart/form-data; boundary="b-1"'}
    answer = httpx.post(server.url + URL, content=body, headers=kind, timeout=PATIENCE_S)
    assert answer.json()["text"] == SAID


def test_a_strategy_decides_where_turns_end(server):
    """0.45 s of silence are between the two words: more than 300 ms, less than a file's own 500."""
    two = wav(speech("alpha", rate=16_000) + speech("bravo", rate=16_000))

    def turns(*fields):
        return len(post(server, ("response_format", "verbose_json"), *fields, file=two).json()["segments"])

    assert turns() == 1
    assert turns(("chunking_strategy[type]", "server_vad"), ("chunking_strategy[silence_duration_ms]", "300")) == 2


# ---- what is refused

DIARIZE = ("model", "gpt-4o-transcribe-diarize")
VERBOSE = ("response_format", "verbose_json")
BAD = [
    ([("model", "nope")], 404, "model_not_found", "model", "The model 'nope' does not exist"),
    ([("model", "gpt-realtime")], 404, "model_not_found", "model", "does not exist"),
    ([("response_format", "xml")], 400, "invalid_value", "response_format", "'verbose_json'"),
    ([("model", "gpt-4o-transcribe"), VERBOSE], 400, "unsupported_value", "response_format",
     "response_format 'verbose_json' is not compatible with model 'gpt-4o-transcribe'. Use 'json' or 'text' instead."),
    ([DIARIZE, ("response_format", "srt")], 400, "unsupported_value", "response_format", "'diarized_json'"),
    ([DIARIZE], 400, "missing_required_parameter", "chunking_strategy",
     "chunking_strategy is required for diarization models"),
    ([DIARIZE, ("prompt", "x"), ("chunking_strategy", "auto")], 400, "unsupported_value", "prompt",
     "Prompt is not supported for diarization models"),
    *(([("language", code)], 400, "invalid_language_format", "language",
       f"Invalid language '{code}'. Language parameter must be specified in ISO-639-1 format.")
      for code in ("english", "xx", "en-US", "e", "1", " en")),
    ([("languages[]", "qq")], 400, "invalid_language_format", "languages", "ISO-639-1"),
    ([("language", "en"), ("languages[]", "de")], 400, "invalid_value", "languages", "not both"),
    *(([("keywords[]", word)], 400, "invalid_value", "keywords", "line breaks") for word in ("<a", "a>", "a\nb", "\r")),
    *(([("temperature", value)], 400, "invalid_value", "temperature", "from 0 to 1")
      for value in ("-0.1", "1.1", "hot", "nan", "inf", "1e999", "0,5")),
    *(([("stream", value)], 400, "invalid_value", "stream", "true or false") for value in ("yes", "2", "null")),
    *(([("include[]", value)], 400, "invalid_value", "include", "'logprobs'") for value in ("tokens", '["logprobs"]')),
    ([("include", "logprobs"), VERBOSE], 400, "unsupported_value", "include", "'json'"),
    ([("timestamp_granularities[]", "word")], 400, "unsupported_value", "timestamp_granularities", "verbose_json"),
    *(([("timestamp_granularities", value), VERBOSE], 400, "invalid_value", "timestamp_granularities", "'segment'")
      for value in ("letter", "word,segment")),
    *(([("chunking_strategy", value)], 400, "invalid_value", "chunking_strategy", "Expected 'auto'")
      for value in ("server_vad", "{", "[]", "1", '{"type": "auto"}', '{"type": "server_vad", "threshold": "0.5"}',
                    '{"type":"server_vad","x":1}', "{}", '"', "[" * 100_000)),
    *(([("chunking_strategy[type]", "server_vad"), (f"chunking_strategy[{name}]", value)], 400, code, param, "")
      for name, value, code, param in (
          ("threshold", "2", "decimal_above_max_value", "chunking_strategy.threshold"),
          ("threshold", "nan", "decimal_above_max_value", "chunking_strategy.threshold"),
          ("threshold", "much", "invalid_value", "chunking_strategy"),
          ("silence_duration_ms", "-1", "integer_below_min_value", "chunking_strategy.silence_duration_ms"),
          ("silence_duration_ms", "60001", "integer_above_max_value", "chunking_strategy.silence_duration_ms"),
          ("silence_duration_ms", "0.5", "invalid_value", "chunking_strategy"),
          ("prefix_padding_ms", "99999", "integer_above_max_value", "chunking_strategy.prefix_padding_ms"))),
    ([("known_speaker_names[]", "x")] * 5, 400, "invalid_value", "known_speaker_names", "at most 4"),
    ([("known_speaker_references[]", "x")] * 5, 400, "invalid_value", "known_speaker_references", "at most 4"),
    ([("x", "y")] * 300, 400, None, None, "Too many fields"),
    ([("prompt", "x" * 5_000_000)], 400, None, None, "exceeded maximum size"),
]  # fmt: skip


def check(answer, status, code=None, param=None, says=""):
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body.keys() == {"error", "usage"}
    assert body["usage"] == {"type": "duration", "seconds": 0}
    error = body["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    assert says in error["message"]
    assert error["message"]
    return error


@pytest.mark.parametrize(("fields", "status", "code", "param", "says"), BAD)
def test_bad_fields(server, fields, status, code, param, says):
    assert check(post(server, *fields), status, code, param, says)["type"] == "invalid_request_error"


INVALID = (
    "Invalid file format. Supported formats: ['flac', 'm4a', 'mp3', 'mp4', 'mpeg', 'mpga', 'oga', 'ogg', 'wav', 'webm']"
)


@pytest.mark.parametrize("data", [b"", b"RIFF", b"no sound at all" * 99, b"ID3" + bytes(500), wav()[:40], wav(b"")])
def test_bad_files(server, data):
    check(post(server, ("model", "whisper-1"), file=data), 400, None, None, INVALID)
    told = "This model does not support the format you provided."
    check(post(server, ("model", "gpt-4o-transcribe"), file=data), 400, "unsupported_format", "messages", told)


def test_too_short(server):
    told = "Audio file is too short. Minimum audio length is 0.1 seconds."
    check(post(server, file=wav(bytes(3_198))), 400, "audio_too_short", "file", told)
    assert post(server, file=wav(bytes(3_200))).status_code == 200


def test_no_file_and_too_many(server):
    check(post(server, ("model", "whisper-1"), file=False), 400, "missing_required_parameter", "file", "'file'")
    check(post(server, ("file", "text"), file=False), 400, "invalid_value", "file", "filename")
    two = [("file", ("a.wav", wav())), ("file[]", ("b.wav", wav()))]
    check(httpx.post(server.url + URL, files=two), 400, "invalid_value", "file", "got 2")


FORM = "multipart/form-data; boundary=b"
HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b'{"model": "whisper-1"}', 415),
        ("application/x-www-form-urlencoded", b"model=whisper-1", 415),
        ("audio/wav", b"RIFF", 415),
        ("", b"", 415),
        ("multipart/mixed; boundary=b", b"", 415),
        ("multipart/form-data", b"", 400),
        ("multipart/form-data; boundary=", b"", 400),
        ("multipart/form-data; boundary=" + "b" * 5_000, b"", 400),
        (FORM, b"", 400),
        (FORM, b"--b--\r\n", 400),
        (FORM, b"garbage", 400),
        (FORM, b"--b\r\n\r\nx\r\n--b--\r\n", 400),
        (FORM, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", 400),
        (FORM, b"--b\r\nContent-Disposition: form-data; name=\r\n\r\nx\r\n--b--\r\n", 400),
        (FORM, b"--b\r\nNo colon\r\n\r\nx\r\n--b--\r\n", 400),
        (FORM, b"--b\r\n: \r\n\r\nx\r\n--b--\r\n", 400),
        (FORM, HEAD + b"RIFF", 400),
        (FORM, HEAD + b"RIFF\r\n--b--\r\n", 400),
        (FORM, HEAD + b"\r\n--c--\r\n", 400),
        (FORM + "; charset=nope", b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\xff\r\n--b--\r\n', 400),
        (FORM, b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n\xff\xfe\x00\r\n--b--\r\n', 400),
        (FORM, bytes(range(256)) * 20, 400),
    ],
)
@pytest.mark.parametrize("url", [URL, "/transcribe"])
def test_bad_bodies(server, url, kind, body, status):
    answer = httpx.post(server.url + url, content=body, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("url", [URL, "/v1/audio/translations", "/transcribe"])
def test_other_methods(server, method, url):
    answer = httpx.request(method, server.url + url)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")


# ---- limits


@pytest.fixture
def small(serve):
    return serve(max_file_mb=1, max_file_minutes=1)


def test_too_many_bytes(small):
    limit = 1024 * 1024
    for size in (limit + 1, 3 * limit):
        error = check(post(small, file=bytes(size)), 413)
        assert error["type"] == "server_error"
        assert error["message"].startswith(f"Maximum content size limit ({limit}) exceeded (")

    def endless():
        yield HEAD
        while True:
            yield bytes(65_536)

    try:
        answer = httpx.post(small.url + URL, content=endless(), headers={"Content-Type": FORM}, timeout=PATIENCE_S)
        assert answer.status_code == 413
    except httpx.TransportError:
        pass  # the server has answered and hung up


def test_too_many_minutes(small):
    long = encoded(bytes(2 * 48_000 * 61), "flac", "flac")
    check(post(small, file=long), 400, "audio_too_long", "file", "at most 1 minutes")
    assert post(small, file=encoded(bytes(2 * 48_000 * 59), "flac", "flac")).status_code == 200


# ---- who may


def test_keys(serve):
    locked = serve(api_key="k" * 20)
    missing = "Missing bearer or basic authentication in header"
    for url in (URL, "/v1/audio/translations", "/transcribe"):
        check(post(locked, url=url), 401, None, None, missing)
        wrong = check(post(locked, url=url, headers={"Authorization": "Bearer sk-wrong-key"}), 401, "invalid_api_key")
        assert wrong["message"].startswith("Incorrect API key provided: sk***ey.")
    for right in ({"Authorization": f"Bearer {'k' * 20}"}, {"api-key": "k" * 20}):
        assert post(locked, headers=right).json()["text"] == SAID


def test_pages_from_elsewhere_may_not(server):
    check(post(server, headers={"Origin": "https://evil.example"}), 401, "origin_not_allowed", None, "evil.example")
    answer = post(server, headers={"Origin": "http://localhost:5173"})
    assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"
