"""Who gets in over WebSocket, and what is said to whom that does not (contract B.1, B.3, I.11)."""

import pytest

from hark.app import REALTIME_PATHS

KEY = "sk-one-two-three"
ORIGIN_REFUSED = "origin_not_allowed"
REASON = "invalid_request_error"


@pytest.fixture
def keyed(serve):
    return serve(api_key=KEY)


def refusal(server, *arguments, **options):
    """The one error, and the close code and reason."""
    with server.socket(*arguments, **options) as wire:
        (event,), code, reason = wire.ending()
        assert event["type"] == "error"
        assert event["error"]["type"] == "invalid_request_error"
        return event["error"], code, reason


def greeting(server, *arguments, **options):
    with server.socket(*arguments, **options) as wire:
        return wire.receive()["type"], wire.socket.subprotocol


# ---- without a key


@pytest.mark.parametrize("path", [path + end for path in REALTIME_PATHS for end in ("", "/", "?intent=transcription")])
def test_every_url_that_clients_use(server, path):
    assert greeting(server, path) == ("session.created", None)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/realtimes", "/v1/realtime/sessions/x", "/health", "/v1//realtime"])
def test_any_other_url_is_told_the_right_one(server, path):
    error, code, reason = refusal(server, path)
    assert (error["code"], code, reason) == ("unknown_url", 4000, f"{REASON}.unknown_url")
    assert path in error["message"]
    assert "/v1/realtime?intent=transcription" in error["message"]


@pytest.mark.parametrize("query", ["model=gpt-5", "intent=transcription&model=gpt-5"])
def test_an_unknown_model_is_refused_for_good(server, dialect, query):
    headers = {"OpenAI-Beta": "realtime=v1"} if dialect == "beta" else {}
    error, code, reason = refusal(server, f"/v1/realtime?{query}", additional_headers=headers)
    assert (error["code"], error["param"], code) == ("invalid_model", "model", 4000)
    assert reason == f"{REASON}.invalid_model"
    assert 'Model "gpt-5" is not supported' in error["message"]


@pytest.mark.parametrize(
    ("offered", "selected", "event"),
    [
        (None, None, "session.created"),
        (["realtime"], "realtime", "session.created"),
        (["openai-insecure-api-key.undefined", "realtime"], "realtime", "session.created"),
        (["realtime", "openai-insecure-api-key.k", "openai-agents-sdk.0.20"], "realtime", "session.created"),
        (["openai-insecure-api-key.k"], None, "session.created"),
        (
            ["realtime", "openai-insecure-api-key.null", "openai-beta.realtime-v1"],
            "realtime",
            "transcription_session.created",
        ),
    ],
)
def test_the_subprotocol_that_is_picked(server, offered, selected, event):
    assert greeting(server, subprotocols=offered) == (event, selected)


@pytest.mark.parametrize("path", ["/nowhere", "/v1/realtime?model=gpt-5"])
def test_a_refused_browser_gets_its_subprotocol_too(server, path):
    with server.socket(path, subprotocols=["openai-insecure-api-key.k", "realtime"]) as wire:
        assert wire.socket.subprotocol == "realtime"
        assert wire.ending()[1] == 4000


# ---- with a key

PLACES = {
    "Authorization": lambda key: {"additional_headers": {"Authorization": f"Bearer {key}"}},
    "lower case": lambda key: {"additional_headers": {"authorization": f"bearer  {key}"}},
    "api-key": lambda key: {"additional_headers": {"api-key": key}},
    "subprotocol": lambda key: {"subprotocols": ["realtime", f"openai-insecure-api-key.{key}"]},
    "?authorization": lambda key: {"target": f"/v1/realtime?authorization=Bearer%20{key}"},
    "?api-key": lambda key: {"target": f"/v1/realtime?api-key={key}"},
    "?access_token": lambda key: {"target": f"/v1/realtime?access_token={key}"},
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_key_may_stand_wherever_clients_put_it(keyed, server, place):
    assert greeting(keyed, **place(KEY))[0] == "session.created"
    assert greeting(server, **place("whatever"))[0] == "session.created"


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("wrong", ["sk-one-two-four", KEY[:-1], f"{KEY}x", "undefined", "%FF"])
def test_a_wrong_key_is_refused_and_never_repeated(keyed, place, wrong):
    error, code, reason = refusal(keyed, **place(wrong))
    assert (error["code"], code, reason) == ("invalid_api_key", 3000, f"{REASON}.invalid_api_key")
    assert error["message"].startswith("Incorrect API key provided: ")
    assert "***" in error["message"]
    assert wrong not in error["message"]
    assert KEY not in error["message"]


@pytest.mark.parametrize(
    "options", [{}, {"additional_headers": {"Authorization": "Bearer "}}, {"subprotocols": ["realtime"]}]
)
def test_no_key_is_refused_in_the_words_that_clients_know(keyed, options):
    error, code, reason = refusal(keyed, **options)
    assert (error["code"], error["param"], code, reason) == (None, None, 3000, REASON)
    assert error["message"].startswith("Missing bearer or basic authentication in header")


def test_a_heap_of_keys_is_not_looked_through(keyed):
    heap = [f"openai-insecure-api-key.k{number}" for number in range(50)]
    error, code, _ = refusal(keyed, subprotocols=["realtime", *heap, f"openai-insecure-api-key.{KEY}"])
    assert (error["code"], code) == ("invalid_api_key", 3000)
    assert "got 51" in error["message"]
    same = ["realtime", *[f"openai-insecure-api-key.{KEY}"] * 50]
    assert greeting(keyed, subprotocols=same)[0] == "session.created"


def test_one_right_key_is_enough(keyed):
    both = PLACES["Authorization"]("undefined") | PLACES["subprotocol"](KEY)
    assert greeting(keyed, **both) == ("session.created", "realtime")


def test_who_may_not_come_in_learns_nothing_of_the_models(keyed):
    assert refusal(keyed, "/v1/realtime?model=gpt-5")[0]["code"] is None


# ---- browsers

OWN_PAGES = [
    "http://localhost", "https://localhost:8443", "http://app.localhost:3000", "http://127.0.0.1:5173",
    "http://127.9.9.9", "http://[::1]:8000",
]  # fmt: skip
STRANGE_PAGES = [
    "https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1.evil.example",
    "http://192.168.1.2", "http://0x7f000001", "http://[::1", "file://", "x",
]  # fmt: skip


@pytest.mark.parametrize("origin", OWN_PAGES)
def test_a_page_of_this_machine_is_served(server, origin):
    assert greeting(server, origin=origin)[0] == "session.created"


@pytest.mark.parametrize("origin", STRANGE_PAGES)
def test_a_page_from_elsewhere_is_not_served_without_a_key(server, origin):
    error, code, reason = refusal(server, origin=origin, **PLACES["Authorization"]("any"))
    assert (error["code"], code, reason) == (ORIGIN_REFUSED, 3000, f"{REASON}.{ORIGIN_REFUSED}")
    assert origin in error["message"]


def test_a_page_from_elsewhere_is_served_with_the_key(keyed):
    assert greeting(keyed, origin="https://evil.example", **PLACES["subprotocol"](KEY))[0] == "session.created"
    assert refusal(keyed, origin="https://evil.example")[0]["code"] is None


def test_a_page_from_elsewhere_is_served_where_anyone_is(serve):
    assert greeting(serve(allow_anonymous=True), origin="https://evil.example")[0] == "session.created"


def test_no_key_reaches_the_log(keyed, caplog):
    caplog.set_level("DEBUG")
    for query in (f"authorization=Bearer%20{KEY}", f"api-key={KEY}", "access_token=sk-wrong-but-secret"):
        with keyed.socket(f"/v1/realtime?intent=transcription&{query}") as wire:
            wire.receive()
    logged = " ".join(record.getMessage() for record in caplog.records if record.name != "websockets.client")
    assert "opened" in logged
    assert KEY not in logged
    assert "sk-wrong-but-secret" not in logged
