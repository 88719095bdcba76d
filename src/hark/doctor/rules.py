"""From what a server answered to what is the matter: an ordered table of rules, for a walk and for a log alike.

Rule: the first rule that fits counts, so the special ones stand before the general. A rule looks at the answer and at
what had been asked, never at which server it is: texts and codes are those of OpenAI (contract A.9, B.3), Azure and
Hark.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from hark.doctor.findings import FindingName

Place: TypeAlias = Literal["HTTP", "models", "mint", "handshake", "session", "call"]
Credential: TypeAlias = Literal["none", "key", "secret"]

MINTING: Final = ("/transcription_sessions", "/client_secrets", "/realtime/sessions")


class Asked(Struct, frozen=True):
    """What an answer is an answer to. `event`: the type of the client event at fault, where one is known."""

    place: Place
    path: str = ""
    query: dict[str, str] = {}
    credential: Credential = "none"
    dialect: Literal["ga", "beta"] = "ga"
    event: str | None = None


class Answer(Struct, frozen=True):
    """A refusal. `status`: HTTP's; `close_code`: the WebSocket's; `body`: what came where that is no error of this
    API; `envelope`: it is one, or nothing came."""

    message: str = ""
    code: str | None = None
    type: str | None = None
    param: str | None = None
    status: int | None = None
    close_code: int | None = None
    body: str = ""
    envelope: bool = True

    @property
    def said(self) -> str:
        """As one line for people."""
        parts = [
            f"HTTP {self.status}" if self.status else "",
            "error" if self.envelope and not self.status else "",
            self.code or self.type or "",
        ]
        text = self.message if self.envelope else self.body
        line = " ".join(part for part in parts if part) + (f": {text}" if text else "")
        if not text:
            line += ", and not a word more"
        return line + (f"; closed with {self.close_code}" if self.close_code else "")


Fits: TypeAlias = Callable[[Answer, Asked], bool]


def _says(pattern: str) -> Fits:
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda answer, _: bool(compiled.search(f"{answer.message} {answer.body}"))


def _code(*codes: str) -> Fits:
    return lambda answer, _: answer.code in codes


def _status(*statuses: int) -> Fits:
    return lambda answer, _: answer.status in statuses


def _at(*places: Place) -> Fits:
    return lambda _, asked: asked.place in places


def _both(*fits: Fits) -> Fits:
    return lambda answer, asked: all(fit(answer, asked) for fit in fits)


def _either(*fits: Fits) -> Fits:
    return lambda answer, asked: any(fit(answer, asked) for fit in fits)


def _not(fit: Fits) -> Fits:
    return lambda answer, asked: not fit(answer, asked)


def _sent(*events: str) -> Fits:
    return lambda _, asked: asked.event in events


def _shown(credential: Credential) -> Fits:
    return lambda _, asked: asked.credential == credential


def _minting_path(_: Answer, asked: Asked) -> bool:
    return asked.path.rstrip("/").endswith(MINTING)


def _intent_and_model(_: Answer, asked: Asked) -> bool:
    return asked.query.get("intent") == "transcription" and "model" in asked.query


def _at_realtime(_: Answer, asked: Asked) -> bool:
    return asked.path.rstrip("/").endswith("/realtime")


def _empty(answer: Answer, _: Asked) -> bool:
    return not answer.message.strip() and not answer.body.strip()


def _no_envelope(answer: Answer, _: Asked) -> bool:
    """A page where an error of this API was due."""
    return not answer.envelope


def _beta(_: Answer, asked: Asked) -> bool:
    return asked.dialect == "beta"


_UNAUTHORISED: Final = _either(
    _status(401), _code("invalid_api_key"), lambda answer, _: answer.close_code == 3000, _says("incorrect api key")
)

RULES: Final[tuple[tuple[FindingName, Fits], ...]] = (
    # ---- by what answered
    ("upgrade-dropped", _both(_at("handshake"), _status(426))),
    ("proxy-refused", _both(_status(401, 403, 407), _no_envelope)),
    # ---- by what it says
    (
        "secret-expired",
        _either(
            _code("expired_client_secret"),
            _says(r"(ephemeral|secret|token)\b.{0,40}\bexpired|expired.{0,20}(secret|token)"),
        ),
    ),
    ("key-expired", _code("expired_api_key")),
    ("secret-of-other-kind", _either(_code("api_version_mismatch"), _says("session with a (ga|beta) client secret"))),
    ("beta-switched-off", _either(_code("beta_api_shape_disabled"), _says("beta api is no longer supported"))),
    (
        "intent-with-model",
        _either(
            _says("must not provide a model parameter"),
            _both(_intent_and_model, _either(_code("invalid_model"), _says("update event to a realtime session"))),
        ),
    ),
    (
        "transcription-model-as-session-model",
        _either(
            _says("is a transcription model and cannot be used"),
            _both(_at("handshake"), _says(r"(transcribe|whisper)\S* is not supported in realtime mode")),
        ),
    ),
    ("missing-model", _either(_code("missing_model"), _says("must provide a model parameter"))),
    ("origin-refused", _code("origin_not_allowed")),
    ("quota", _either(_code("insufficient_quota", "credit_balance_exhausted"), _says("exceeded your current quota"))),
    ("rate-limited", _either(_status(429), _code("rate_limit_exceeded", "server_overloaded"), _says("rate limit"))),
    (
        "no-access",
        _either(
            _says(r"not have (access|permission)|insufficient permissions|must be verified"), _code("missing_scope")
        ),
    ),
    ("unknown-model", _either(_code("model_not_found", "invalid_model"), _says(r"not supported in \w+ mode"))),
    ("offer-to-wrong-url", _both(_at("call"), _minting_path)),
    ("invalid-offer", _either(_code("invalid_offer"), _both(_at("call"), _says("sdp offer|unmarshal SDP")))),
    ("no-credential", _says("missing bearer")),
    ("secret-instead-of-key", _both(_at("models", "mint"), _shown("secret"), _UNAUTHORISED)),
    ("secret-refused", _both(_shown("secret"), _UNAUTHORISED)),
    ("key-instead-of-secret", _says(r"(ephemeral (key|token)|client secret)\b.*(required|expected|instead|must)")),
    # ---- of a session
    (
        "beta-update-in-ga-session",
        _says("transcription session update event to a realtime session|invalid value: 'transcription_session.update'"),
    ),
    (
        "session-update-in-beta-session",
        _both(_sent("session.update"), _beta, lambda answer, _: answer.type == "server_error"),
    ),
    (
        "missing-session-type",
        _either(
            _both(_code("missing_required_parameter"), _says(r"session\.type")),
            _says("realtime session update event to a transcription session"),
        ),
    ),
    (
        "rate-too-low",
        _both(_code("integer_below_min_value"), lambda answer, _: "rate" in (answer.param or answer.message)),
    ),
    ("turn-detection-not-supported", _says("turn detection is not supported")),
    ("binary-frames", _says("binary frames are not supported")),
    ("not-json", _code("invalid_json")),
    ("commit-empty", _either(_code("input_audio_buffer_commit_empty"), _says("buffer too small"))),
    ("session-expired", _either(_code("session_expired", "session_idle"), _says("maximum duration"))),
    ("unknown-parameter", _code("unknown_parameter")),
    # ---- by its status alone
    ("proxy-fault", _status(502, 503, 504)),
    (
        "server-fault",
        _either(_status(500), lambda answer, _: answer.type == "server_error" or answer.close_code == 1011),
    ),
    ("redirected", _status(301, 302, 303, 307, 308)),
    (
        "wrong-websocket-path",
        _both(
            _at("handshake"),
            _either(
                _code("unknown_url"),
                _both(_minting_path, _status(400, 403, 404, 405)),
                _both(_status(403, 404, 405), _not(_at_realtime)),
            ),
        ),
    ),
    # Starlette answers a WebSocket that it has no route for with an empty 403.
    ("no-realtime", _both(_at("handshake"), _either(_status(404, 405), _both(_status(403), _empty)))),
    ("empty-refusal", _both(_at("call"), _status(400), _empty)),
    ("wrong-key", _both(_code("invalid_api_key"), _not(_shown("secret")))),
    (
        "no-credential",
        _both(_shown("none"), _either(_status(401), lambda answer, _: answer.close_code == 3000)),
    ),
    ("wrong-key", _UNAUTHORISED),
    ("no-access", _both(_status(403), _not(_at("HTTP")))),
    ("upgrade-dropped", _both(_at("handshake"), _status(101, 200, 400), _no_envelope)),
    ("no-webrtc", _both(_at("call"), _status(404, 405, 501))),
    ("no-minting", _both(_at("mint"), _status(404, 405, 501))),
    ("too-large-message", lambda answer, _: answer.close_code == 1009),
    ("server-restarts", _either(_code("server_draining"), lambda answer, _: answer.close_code in (1001, 1012, 1013))),
    ("cut-off", lambda answer, _: answer.close_code == 1006),
    ("not-this-api", _either(_status(404, 405), _no_envelope)),
    ("invalid-request", lambda answer, _: answer.type == "invalid_request_error" and not _empty(answer, Asked("HTTP"))),
    ("refused", lambda *_: True),
)


def recognise(answer: Answer, asked: Asked) -> FindingName:
    """What is the matter; "refused" where no rule knows."""
    return next(name for name, fits in RULES if fits(answer, asked))
