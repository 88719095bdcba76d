"""Each refusal that is known, of OpenAI's and of ours, is recognised as what it is."""

import pytest

from documents import codes, page, section, table
from hark.doctor.findings import FINDINGS
from hark.doctor.http import fault, refusal
from hark.doctor.rules import RULES, Answer, Asked, recognise
from pretender.texts import TEXTS

# OpenAI's refusals -> what they are, and where they are met if that matters.
OPENAI = {
    "NO_KEY": ("no-credential", {}),
    "WRONG_KEY": ("wrong-key", {"credential": "key"}),
    "GUESSED_SECRET_EXPIRED": ("secret-expired", {}),
    "GA_SECRET_ON_BETA": ("secret-of-other-kind", {}),
    "PARTLY_BETA_SECRET_ON_GA": ("secret-of-other-kind", {}),
    "GUESSED_INSUFFICIENT_QUOTA": ("quota", {}),
    "GUESSED_CREDIT_BALANCE_EXHAUSTED": ("quota", {}),
    "GUESSED_RATE_LIMIT": ("rate-limited", {}),
    "NO_ACCESS": ("no-access", {}),
    "NO_SUCH_MODEL": ("unknown-model", {"place": "models"}),
    "BETA_OFF": ("beta-switched-off", {}),
    "NO_MODEL": ("missing-model", {}),
    "NOT_A_REALTIME_MODEL": ("unknown-model", {}),
    "NOT_A_TRANSCRIPTION_MODEL": ("unknown-model", {"place": "session"}),
    "MODEL_WITH_INTENT": ("intent-with-model", {}),
    "PARTLY_TRANSCRIPTION_MODEL": ("transcription-model-as-session-model", {}),
    "INVALID_OFFER": ("invalid-offer", {"place": "call"}),
    "CUT_OFFER": ("invalid-offer", {"place": "call"}),
    "EMPTY": ("empty-refusal", {"place": "call"}),
    "TRANSCRIPTION_UPDATE_IN_REALTIME": ("beta-update-in-ga-session", {"place": "session"}),
    "GUESSED_REALTIME_UPDATE_IN_TRANSCRIPTION": ("missing-session-type", {"place": "session"}),
    "SERVER_HAD_AN_ERROR": (
        "session-update-in-beta-session", {"place": "session", "dialect": "beta", "event": "session.update"},
    ),
    "UNKNOWN_PARAMETER": ("unknown-parameter", {"place": "mint"}),
    "MISSING_PARAMETER": ("invalid-request", {"place": "session"}),
    "PARTLY_BELOW_MINIMUM": ("invalid-request", {"place": "session"}),
    "PARTLY_INVALID_VALUE": ("invalid-request", {"place": "session"}),
    "NO_TURN_DETECTION": ("turn-detection-not-supported", {"place": "session"}),
    "GUESSED_INVALID_JSON": ("not-json", {"place": "session"}),
    "BINARY_FRAME": ("binary-frames", {"place": "session"}),
    "EMPTY_COMMIT": ("commit-empty", {"place": "session"}),
    "GUESSED_NO_SUCH_ITEM": ("invalid-request", {"place": "session"}),
    "SESSION_EXPIRED": ("session-expired", {"place": "session"}),
    "TRANSCRIPTION_FAILED": ("server-fault", {"place": "session"}),
}  # fmt: skip


def test_every_text_of_openai_is_in_the_table():
    assert OPENAI.keys() | {"UNKNOWN_URL"} == TEXTS.keys()


@pytest.mark.parametrize(
    ("name", "way"),
    [
        (name, way) for name in OPENAI for way in ("HTTP", "event") if (name, way) != ("EMPTY", "event")
    ],  # it never was one
)
def test_what_openai_says_is_recognised(name, way):
    finding, where = OPENAI[name]
    text = TEXTS[name]
    status, close_code = (text.status, None) if way == "HTTP" else (None, text.close)
    answer = fault(text.body["error"], status=status, close_code=close_code)
    assert recognise(answer, Asked(**{"place": "handshake", "credential": "key"} | where)) == finding


def test_a_url_that_openai_does_not_know():
    answer = fault(TEXTS["UNKNOWN_URL"].body["error"], status=404)
    assert recognise(answer, Asked("HTTP")) == "not-this-api"
    assert recognise(answer, Asked("handshake", "/v1/transcribe")) == "wrong-websocket-path"


def test_parameters_that_are_known():
    asked = Asked("session")
    missing = Answer(
        "Missing required parameter: 'session.type'.", "missing_required_parameter", "invalid_request_error"
    )
    low = Answer("…", "integer_below_min_value", "invalid_request_error", "session.audio.input.format.rate")
    assert recognise(missing, asked) == "missing-session-type"
    assert recognise(low, asked) == "rate-too-low"


# Codes that say more than that something in the request is wrong.
OWN = {
    "invalid_model": "unknown-model", "model_not_found": "unknown-model", "invalid_api_key": "wrong-key",
    "expired_api_key": "key-expired", "expired_client_secret": "secret-expired", "origin_not_allowed": "origin-refused",
    "rate_limit_exceeded": "rate-limited", "server_overloaded": "rate-limited",
    "server_draining": "server-restarts",
    "invalid_offer": "invalid-offer", "unknown_url": "wrong-websocket-path",
    "session_expired": "session-expired", "session_idle": "session-expired",
    "unknown_parameter": "unknown-parameter", "invalid_json": "not-json",
    "input_audio_buffer_commit_empty": "commit-empty",
}  # fmt: skip


def test_every_code_of_ours_is_recognised():
    listed = {code for row in table(section("docs/protocol.md", "Error codes"), "code") for code in codes(row[0])}
    assert OWN.keys() <= listed
    for code in listed:
        answer = Answer("It is said here.", code, "invalid_request_error")
        assert recognise(answer, Asked("handshake", credential="key")) == OWN.get(code, "invalid-request"), code


@pytest.mark.parametrize(
    ("body", "message", "envelope"),
    [
        (b'{"error": {"message": "No.", "code": null}}', "No.", True),
        (b'{"error": "No."}', "No.", True),
        (b'{"detail": "No."}', "No.", True),
        (b'{"object": "error"}', "", True),
        (b'{"error": {"message": 5}}', "", True),
        (b"[]", "", True),
        (b"<html>No.</html>", "", False),
        (b"", "", True),
        (b"\xff\xfe", "", False),
    ],
)
def test_errors_in_every_form(body, message, envelope):
    answer = refusal(400, body)
    assert (answer.message, answer.envelope) == (message, envelope)
    assert answer.said.startswith("HTTP 400")


HTML = "<html><h1>Forbidden</h1></html>"
UPGRADE = "/v1/realtime is a WebSocket. To call by WebRTC, POST an SDP offer to /v1/realtime/calls."


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        (Answer(UPGRADE, "upgrade_required", "invalid_request_error", status=426), "upgrade-dropped"),
        (Answer(status=200, body=HTML, envelope=False), "upgrade-dropped"),
        (Answer(status=101, body="missing Upgrade header", envelope=False), "upgrade-dropped"),
        (Answer(status=401, body=HTML, envelope=False), "proxy-refused"),
        (Answer(status=403, body=HTML, envelope=False), "proxy-refused"),
        (Answer(status=403), "no-realtime"),
        (Answer("Not Found", status=404), "no-realtime"),
        (Answer(status=404, body=HTML, envelope=False), "no-realtime"),
        (Answer("Your key may not.", "missing_scope", status=403), "no-access"),
        (Answer("Location: /elsewhere", status=307), "redirected"),
        (Answer(close_code=1006, body="it hung up on the handshake", envelope=False), "cut-off"),
        (Answer(body="what came is no JSON: b'\\x00'", envelope=False), "not-this-api"),
        (Answer("an event of more than 16 MiB came", close_code=1009), "too-large-message"),
    ],
)
def test_what_stands_between_client_and_server(answer, finding):
    assert recognise(answer, Asked("handshake", "/v1/realtime", credential="key")) == finding


def test_what_nobody_knows_is_said_to_be_so():
    assert recognise(Answer("Computer says no.", status=418), Asked("HTTP")) == "refused"


def test_every_rule_leads_to_a_finding_and_every_finding_has_its_row():
    assert {name for name, _ in RULES} <= FINDINGS.keys()
    rows = table(page("docs/doctor.md"), "finding")
    assert rows == [[f"`{name}`", finding.means] for name, finding in FINDINGS.items()]
