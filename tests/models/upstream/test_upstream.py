"""The engine that asks another server over HTTP: what it asks for, what it takes from answers, and what goes wrong."""

import json
import logging
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from engine_suite import EngineSuite, Subject
from msgspec import structs

import upstreams
from hark.config import Settings
from hark.core.work import SAMPLE_RATE
from hark.errors import ModelError, OperatorError
from hark.models.base import LoadOptions, Utterance
from hark.models.catalog import under_options
from hark.models.scripted import WORD_SAMPLES, amplitude
from hark.models.upstream import engine as upstream
from hark.models.upstream.answers import hypothesis, read
from upstreams import KEY, StandIn


def spoken(*words):
    loud = [np.full(WORD_SAMPLES, amplitude(word), np.float32) for word in words]
    return np.concatenate([*loud, np.zeros(4_800, np.float32)])


@pytest.fixture
def stand_in():
    """Starts a stand-in of this kind."""
    started = []

    def start(*given, **options):
        started.append(StandIn(*given, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def told(server, **options):
    return {"upstream": server.url, "upstream_key": KEY} | {f"upstream_{name}": v for name, v in options.items()}


@pytest.fixture
def engine(tmp_path):
    """An engine that asks this stand-in."""
    made = []

    def make(server, **options):
        made.append(upstream.Upstream(LoadOptions(tmp_path, options=told(server, **options))))
        return made[-1]

    yield make
    for each in made:
        each.close()


def hear(engine, *words, **hints):
    return engine.transcribe([Utterance(spoken(*words), **hints)])[0]


class Suite(EngineSuite):
    tells: str
    carries: tuple

    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, tmp_path_factory):
        server = StandIn(cls.tells)
        (model,) = upstream.plugin()
        model = structs.replace(model, spec=structs.replace(model.spec, traits=cls.carries))
        speech = [spoken("alpha"), spoken("bravo", "charlie"), spoken("delta", "echo", "alpha", "bravo")]
        yield Subject(model, LoadOptions(tmp_path_factory.mktemp("models"), options=told(server)), speech)
        server.stop()


class TestOfWords(Suite):
    tells, carries = "words", ("logprobs", "words", "detects_language")


class TestOfSegments(Suite):
    tells, carries = "segments", ("logprobs", "detects_language")


class TestOfTokens(Suite):
    tells, carries = "tokens", ("logprobs",)


class TestOfText(Suite):
    tells, carries = "text", ()


class TestOfText2(Suite):
    tells, carries = "silent", ()


# ---- what is asked for, and what is taken


@pytest.mark.parametrize(("tells", "tried"), [("words", 1), ("segments", 2), ("tokens", 3), ("text", 4), ("silent", 1)])
def test_the_most_that_the_server_tells_is_found_out_once(stand_in, engine, tells, tried):
    server = stand_in(tells)
    ear = engine(server)
    for _ in range(3):
        assert hear(ear, "alpha", "bravo").text == "Alpha, bravo."
    assert len(server.requests) == tried + 2
    formats = [request["response_format"] for request in server.requests]
    assert len({*map(tuple, formats[tried - 1 :])}) == 1
    assert server.connections == 1


def test_words_have_times_and_punctuation(stand_in, engine):
    heard = hear(engine(stand_in()), "alpha", "bravo")
    assert [(token.text, token.start, token.end, token.logprob) for token in heard.tokens] == [
        (" Alpha,", 0, WORD_SAMPLES, -0.2),
        (" bravo.", WORD_SAMPLES, 2 * WORD_SAMPLES, -0.2),
    ]
    assert heard.language == "en"


def test_tokens_keep_their_probabilities(stand_in, engine):
    heard = hear(engine(stand_in("tokens")), "alpha", "bravo")
    assert [(token.text, token.logprob) for token in heard.tokens] == [(" Alpha,", -0.3), (" bravo.", -0.3)]


def test_the_hints_go_along(stand_in, engine):
    server = stand_in()
    ear = engine(server, model="large")
    hear(ear, "alpha", language="de", prompt="On ships.", keywords=("Hark", "Ahab"), languages=("de", "en"))
    assert server.fields["model"] == ["large"]
    assert server.fields["language"] == ["de"]
    assert server.fields["prompt"] == ["On ships. Hark, Ahab."]
    assert server.fields["path"] == "/v1/audio/transcriptions"
    assert "keywords[]" not in server.fields
    assert "languages[]" not in server.fields
    hear(engine(server, model="gpt-transcribe"), "alpha", keywords=("Hark", "Ahab"), languages=("de", "en"))
    assert server.fields["keywords[]"] == ["Hark", "Ahab"]
    assert server.fields["languages[]"] == ["de", "en"]
    assert "prompt" not in server.fields


def test_a_refusal_that_is_not_for_the_form_is_raised_and_forgotten(stand_in, engine):
    server = stand_in()
    ear = engine(server)
    server.mishaps = [upstreams.refuse(400, "Invalid language 'xx'.")] * 4
    with pytest.raises(ModelError, match=r"HTTP 400 and said: Invalid language 'xx'\.$"):
        hear(ear, "alpha", language="xx")
    assert hear(ear, "alpha").tokens[0].start == 0  # asked for the most again
    assert len(server.requests) == 5


# ---- one deadline, and what is asked again


@pytest.mark.parametrize(
    "mishap",
    [
        upstreams.refuse(429, "Slow down.", Retry_After="0"),
        upstreams.refuse(500, "Oh."),
        upstreams.refuse(408, "Late."),
        upstreams.page(502),
        upstreams.reset,
        upstreams.cut_short,
    ],
    ids=["429", "500", "408", "502 with a page", "reset", "cut short"],
)
def test_what_may_pass_is_asked_again(stand_in, engine, mishap):
    server = stand_in()
    server.mishaps = [mishap, mishap]
    assert hear(engine(server), "alpha").text == "Alpha."
    assert len(server.requests) == 3


def test_a_partial_one_is_asked_for_once(stand_in, engine):
    server = stand_in()
    server.mishaps = [upstreams.refuse(500, "Oh.")]
    with pytest.raises(ModelError, match=r"HTTP 500 and said: Oh\."):
        hear(engine(server), "alpha", final=False)
    assert len(server.requests) == 1


def test_the_server_says_when_to_ask_again(stand_in, engine):
    server = stand_in()
    server.mishaps = [upstreams.refuse(429, "Slow down.", Retry_After="1")]
    began = time.monotonic()
    assert hear(engine(server), "alpha").text == "Alpha."
    assert time.monotonic() - began >= 1
    server.mishaps = [upstreams.refuse(503, "Later.", Retry_After="3600")]
    with pytest.raises(ModelError, match=r"HTTP 503 and said: Later\."):  # at once, for there is no time for it
        hear(engine(server), "alpha")
    assert len(server.requests) == 3


@pytest.mark.parametrize("mishap", [upstreams.hang, upstreams.trickle], ids=["hangs", "trickles"])
@pytest.mark.parametrize("final", [True, False])
def test_the_deadline_is_of_the_whole_request(stand_in, engine, mishap, final, monkeypatch):
    monkeypatch.setattr(upstream, "PARTIAL_S", 0.3)
    server = stand_in()
    ear = engine(server, timeout_s=1)
    server.mishaps = [mishap]
    began = time.monotonic()
    with pytest.raises(ModelError, match=f"did not answer within {1 if final else 0.3} s"):
        hear(ear, "alpha", final=final)
    assert time.monotonic() - began < 10
    assert hear(ear, "alpha").text == "Alpha."


@pytest.mark.parametrize(
    ("mishap", "said"),
    [
        (upstreams.page(200), "answered with text/html where a transcript in JSON was expected"),
        (upstreams.raw(b"alpha", "text/plain"), "answered with text/plain"),
        (upstreams.raw(b'{"words": []}'), "answered with application/json"),
        (upstreams.raw(b"\xff\xfe"), "answered with application/json"),
        (upstreams.page(404), "HTTP 404 and said: nothing that explains it"),
        (upstreams.raw(b'{"detail": "Not Found"}', status=404), "HTTP 404 and said: Not Found"),
        (upstreams.raw(b"", status=307, Location="http://127.0.0.1:1/v1/audio/transcriptions"), "no redirects"),
        (upstreams.raw(b'{"error": {"message": "No money.", "code": "insufficient_quota"}}', status=429), "No money"),
    ],
)
def test_what_cannot_pass_is_asked_once(stand_in, engine, mishap, said):
    server = stand_in()
    server.mishaps = [mishap]
    with pytest.raises(ModelError, match=re.escape(said)) as caught:
        hear(engine(server), "alpha")
    assert caught.value.lasting
    assert "secret words" not in caught.value.message
    assert len(server.requests) == 1


def test_a_field_at_fault_is_named_without_what_was_sent(stand_in, engine):
    server = stand_in()
    detail = b'{"detail": [{"loc": ["body", "prompt"], "msg": "too long", "input": "what was sent"}]}'
    server.mishaps = [upstreams.raw(detail, status=422)] * 4
    with pytest.raises(ModelError, match=r"HTTP 422 and said: body\.prompt: too long\.$"):
        hear(engine(server), "alpha")


def test_a_key_that_is_refused_is_not_shown(stand_in, engine, caplog):
    server = stand_in(key="another")
    with caplog.at_level(logging.DEBUG), pytest.raises(ModelError, match=r"HTTP 401 .*--upstream-key") as caught:
        hear(engine(server), "alpha")
    assert "Incorrect API key provided: Bearer ***" in caught.value.message
    assert KEY not in caught.value.message + caplog.text
    assert f"127.0.0.1:{server.url.split(':')[2].removesuffix('/v1')}" in caplog.text  # the log says where it is
    assert "127.0.0.1" not in caught.value.message
    assert len(server.requests) == 1


def test_nobody_is_there(engine, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    options = {"upstream": f"http://127.0.0.1:{port}", "upstream_timeout_s": 1}
    with pytest.raises(ModelError, match="could not be made or broke: Connection refused"):
        hear(upstream.Upstream(LoadOptions(tmp_path, options=options)), "alpha")


# ---- connections


def test_a_connection_that_was_closed_while_idle_is_replaced(stand_in, engine):
    server = stand_in()
    ear = engine(server)
    server.mishaps = [upstreams.close_after]
    for _ in range(2):
        assert hear(ear, "alpha", final=False).text == "Alpha."
    assert (len(server.requests), server.connections) == (2, 2)


def test_so_many_at_once_on_as_many_connections(stand_in, engine):
    server = stand_in(slow_s=0.1)
    ear = engine(server)
    hear(ear, "alpha")
    with ThreadPoolExecutor(4) as threads:
        heard = list(threads.map(lambda word: hear(ear, word).text, ["alpha", "bravo", "charlie", "delta"] * 3))
    assert heard == ["Alpha.", "Bravo.", "Charlie.", "Delta."] * 3
    assert server.most_at_once == 4
    assert server.connections <= 4


def test_closing_ends_a_wait(stand_in, engine):
    server = stand_in()
    ear = engine(server)
    server.mishaps = [upstreams.refuse(503, "Later.", Retry_After="20")] * 2
    threading.Timer(0.2, ear.close).start()
    began = time.monotonic()
    with pytest.raises(ModelError):
        hear(ear, "alpha")
    assert time.monotonic() - began < 10


# ---- options


@pytest.mark.parametrize(
    "written", ["gpu:8000", "ftp://gpu", "http://", "http://user:secret@gpu/v1", "http://gpu:x", "http://[::1", "//gpu"]
)
def test_addresses_that_are_none(written):
    with pytest.raises(OperatorError, match=r"--upstream: expected the base URL") as caught:
        upstream.address(written)
    assert "secret" not in caught.value.message


def test_without_an_address_there_is_no_engine(tmp_path):
    with pytest.raises(OperatorError, match=r"--model upstream needs the address .* --upstream or HARK_UPSTREAM"):
        upstream.Upstream(LoadOptions(tmp_path))


@pytest.mark.parametrize(
    ("url", "chosen", "partials"),
    [
        ("http://127.0.0.1:8000/v1", None, True),
        ("http://gpu:8000/v1", None, True),
        ("http://asr.local/v1", None, True),
        ("http://10.1.2.3/v1", None, True),
        ("http://[fd00::1]/v1", None, True),
        ("https://api.openai.com/v1", None, False),
        ("https://1.1.1.1/v1", None, False),
        ("https://api.openai.com/v1", True, True),
        ("http://gpu:8000/v1", False, False),
    ],
)
def test_whether_it_is_asked_about_turns_that_go_on(url, chosen, partials):
    settings = Settings(_env_file=None, upstream=url, upstream_partials=chosen, upstream_concurrency=5)
    (model,) = upstream.plugin()
    spec = under_options({"upstream": model}, settings.model_option_table())["upstream"].spec
    assert (spec.partials, spec.callers) == (partials, 5)


def test_the_times_of_words_lie_within_the_audio(stand_in, engine):
    server = stand_in()
    answer = (
        b'{"text": "One two, three", "words": [{"word": "one", "start": -1, "end": 1e300},'
        b'{"word": "TWO", "start": 0.5, "end": 0.1}, {"word": "four", "start": 1, "end": 2}]}'
    )
    server.mishaps = [upstreams.raw(answer)]
    heard = hear(engine(server), "alpha")
    assert heard.text == "One two, three"
    length = WORD_SAMPLES + 4_800
    assert [(t.text, t.start, t.end) for t in heard.tokens] == [
        (" One", 0, length),
        (" two,", SAMPLE_RATE // 2, SAMPLE_RATE // 2),
        (" three", None, None),
    ]


@pytest.mark.parametrize(
    ("answer", "tokens"),
    [
        ({"text": "你好，世界"}, [" 你", "好，", "世", "界"]),
        (
            {"text": "你好，世界", "words": [{"word": "你好", "start": 0, "end": 1}, {"word": "世界", "end": 2}]},
            [" 你", "好，", "世", "界"],
        ),
        ({"text": "Don’t\nsay “no”.", "words": [{"word": "no", "start": 0, "end": 0.1}]}, [" Don’t", " say", " “no”."]),
        ({"text": " é", "logprobs": [
            {"token": "\\xc3", "logprob": -0.1, "bytes": [0xC3]}, {"token": "\\xa9", "logprob": -0.2, "bytes": [0xA9]},
        ]}, [" é"]),
        ({"text": "one two", "logprobs": [{"token": "other", "logprob": -0.1, "bytes": None}]}, [" one", " two"]),
        ({"text": "one", "words": [{"word": 7}], "segments": "none"}, [" one"]),
        ({"text": " \n "}, []),
    ],
)  # fmt: skip
def test_tokens_join_to_the_text(answer, tokens):
    heard = hypothesis(read(json.dumps(answer).encode()), SAMPLE_RATE)
    assert [token.text for token in heard.tokens] == tokens
    assert heard.text == " ".join(answer["text"].split())


def test_a_key_is_taken_as_a_file_holds_it_and_else_refused_unseen(stand_in, tmp_path):
    server = stand_in()
    options = {"upstream": server.url, "upstream_key": f"{KEY}\r\n"}
    ear = upstream.Upstream(LoadOptions(tmp_path, options=options))
    assert hear(ear, "alpha").text == "Alpha."
    ear.close()
    with pytest.raises(OperatorError, match="printable ASCII") as refused:
        upstream.Upstream(LoadOptions(tmp_path, options=options | {"upstream_key": "sk-ab\ncd"}))
    assert "sk-" not in str(refused.value)
