"""What an HTTP operation is, and what many of them share. operations.py lists them.

Rule: nothing here says where the server is; bodies are the types that requests are read by and answers are written by.
"""

from __future__ import annotations

from types import UnionType
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from hark.protocol import answers as a

Shape: TypeAlias = "type[Struct] | UnionType"
JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
EVENTS: Final = "text/event-stream; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"
CSS: Final = "text/css; charset=utf-8"
SCRIPT: Final = "text/javascript; charset=utf-8"
SVG: Final = "image/svg+xml"
FORM: Final = "multipart/form-data"
SDP: Final = "application/sdp"


class Parameter(Struct, frozen=True):
    name: str
    where: Literal["query", "header", "path"]
    words: str
    values: tuple[str, ...] = ()


class Content(Struct, frozen=True):
    """One form of an answer. `shapes`: any of them; none for text."""

    media_type: str
    shapes: tuple[Shape, ...] = ()
    words: str = ""


class Code(Struct, frozen=True):
    """A refusal: the status, `error.code` (None: null), and when."""

    status: int
    code: str | None
    when: str


class Operation(Struct, frozen=True, kw_only=True):
    """`path`: where it is, `{name}` for a parameter; `aliases`: where else; each also with a slash at its end where
    `slash` says so. `example`: what stands after the URL in a
    call with curl, or a whole command that names the server as {base}. `keyed`: whether it wants a credential."""

    id: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    aliases: tuple[str, ...] = ()
    slash: bool = False
    title: str
    words: str
    parameters: tuple[Parameter, ...] = ()
    body: tuple[str, Shape | None] | None = None
    status: int = 200
    answers: tuple[Content, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    codes: tuple[Code, ...] = ()  # `refusals` has those that all with a body share, too
    refusal: type[Struct] = a.Refusal
    example: str = ""
    keyed: bool = True
    succeeds: bool = False  # with nothing in the answer

    def command(self, base: str) -> str:
        """A line for a shell that tries it."""
        if "{base}" in self.example:
            return self.example.replace("{base}", base)
        method = "" if self.method == "GET" or self.body else f" -X {self.method}"
        key = ' -H "Authorization: Bearer $HARK_API_KEY"' if self.keyed else ""
        path = self.path.replace("{name}", "whisper-1").replace("{call_id}", "rtc_…").replace("{session_id}", "sess_…")
        return f"curl{method} {base}{path}{key}{self.example}"

    @property
    def refusals(self) -> tuple[Code, ...]:
        return (*self.codes, SLOW) if self.body else self.codes

    @property
    def places(self) -> tuple[str, ...]:
        """Every path that it is served at."""
        return tuple(path + end for path in (self.path, *self.aliases) for end in (("", "/") if self.slash else ("",)))


CREDENTIAL_CODES: Final = (
    Code(401, None, "no credential was sent"),
    Code(401, "invalid_api_key", "the key or client secret is wrong or revoked"),
    Code(401, "expired_api_key", "the key has expired"),
    Code(401, "expired_client_secret", "the client secret has expired"),
    Code(
        401,
        "origin_not_allowed",
        "a page from elsewhere or a strange name, and no key is set, or the key is for other pages",
    ),
)
DRAINING: Final = Code(503, "server_draining", "the server is taken out of service; Retry-After says when to ask again")
LIMITS: Final = (
    Code(429, "rate_limit_exceeded", "a limit of the key is reached; Retry-After says for how many seconds"),
    Code(429, "server_overloaded", "the server has no room for another session; Retry-After says when to ask again"),
    DRAINING,
)
# Of whatever has a body.
SLOW: Final = Code(408, "request_timeout", "the request came too slowly; the connection is closed")
FAULT: Final = Code(500, None, "a defect of the server; the message names the lines of its log")

# On every answer.
COMMON_HEADERS: Final = (
    ("x-request-id", "leads to the line that the server's log has of the request"),
    ("openai-version", "2020-10-01"),
    ("openai-processing-ms", "milliseconds until the answer began"),
)
RETRY_AFTER: Final = ("Retry-After", "seconds after which it may work")
