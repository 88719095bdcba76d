"""What can go wrong with another server: which of it may pass when asked again, and what is said of it.

Rule: a message holds what the server itself said, shortened, and never a key. Where the server is stands in the log
alone: clients are told these messages too.
"""

from __future__ import annotations

import email.utils
import http.client
import ssl
import time
from collections.abc import Mapping
from typing import Final

import msgspec

from hark.errors import ModelError

_LONGEST: Final = 200
# Of those below 500: the request took too long to arrive, and too many requests (RFC 9110 and RFC 6585).
_PASSING: Final = (408, 429)
# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH, whose messages name the host.
_OTHER_NAME: Final = (62, 64)


class UpstreamError(ModelError):
    """`lasting`: the same request would fail again. `after_s`: when the server wants to be asked again, if it said."""

    def __init__(self, message: str, *, lasting: bool = False, after_s: float | None = None) -> None:
        super().__init__(message)
        self.lasting = lasting
        self.after_s = after_s


def out_of_time(seconds: float) -> UpstreamError:
    return UpstreamError(f"The upstream server did not answer within {seconds:g} s.")


def broken(error: Exception, why: str = "") -> UpstreamError:
    """The connection could not be made, or broke; `why` says it better than the error, if it is given."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = "it is for another name" if error.verify_code in _OTHER_NAME else error.verify_message
        return UpstreamError(
            f"The upstream server shows a certificate that is not trusted: {why}. If it is your own, "
            "name its certificate in SSL_CERT_FILE.",
            lasting=True,
        )
    if isinstance(error, http.client.InvalidURL):  # whose text shows it
        why = "what is asked for cannot stand in a request"
    why = why or getattr(error, "strerror", None) or str(error) or type(error).__name__
    return UpstreamError(f"The connection to the upstream server could not be made or broke: {why}.")


def refused(status: int, headers: Mapping[str, str], body: bytes, key: str | None) -> UpstreamError:
    """It answered with a status that is none of success; `headers` by lower-case name."""
    said = _said(body, key)
    code = _code(body)
    if status in (401, 403):
        return UpstreamError(
            f"The upstream server answered HTTP {status} and said: {said}. It wants another key in --upstream-key.",
            lasting=True,
        )
    if 300 <= status < 400:
        return elsewhere(f"HTTP {status}")
    passing = (status in _PASSING and code != "insufficient_quota") or status >= 500
    message = f"The upstream server answered HTTP {status} and said: {said}."
    return UpstreamError(message, lasting=not passing, after_s=_retry_after(headers.get("retry-after")))


def elsewhere(answered: str) -> UpstreamError:
    return UpstreamError(
        f"The upstream server answered {answered}: it is elsewhere, and Hark follows no redirects, for the key would "
        "go along. Name the new address in --upstream.",
        lasting=True,
    )


def not_json(content_type: str) -> UpstreamError:
    return UpstreamError(
        f"The upstream server answered with {content_type or 'no type'} where a transcript in JSON was expected. Is "
        "--upstream the base URL of an OpenAI-compatible API, such as http://gpu:8000/v1?",
        lasting=True,
    )


def masked(text: str, key: str | None) -> str:
    """`text` without the key, in one line, shortened."""
    if key:
        text = text.replace(key, "***")
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _said(body: bytes, key: str | None) -> str:
    """What an error's body says to people: OpenAI's envelope, or the lists of FastAPI. Pages are not repeated."""
    found = ""
    match _decoded(body):
        case {"error": {"message": str(message)}} | {"error": str(message)} | {"message": str(message)}:
            found = message
        case {"detail": str(message)}:
            found = message
        case {"detail": [{"msg": str(message), "loc": [*where]}, *_]}:  # its "input" may be anything that was sent
            found = f"{'.'.join(map(str, where))}: {message}"
    return masked(found, key).rstrip(".") or "nothing that explains it"


def _code(body: bytes) -> str | None:
    match _decoded(body):
        case {"error": {"code": str(code)}}:
            return code
        case _:
            return None


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _retry_after(value: str | None) -> float | None:
    """Seconds from now, of a number or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
