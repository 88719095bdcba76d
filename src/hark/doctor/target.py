"""What is examined: an address as people have it, a base URL or the very URL of their client, and what goes with it.

Rule: the client's own URL is what counts, so it is asked as it stands; where only a base is given, the URL that
OpenAI's documents give for transcription is used. No key is ever shown.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from msgspec import Struct

from hark.auth.principal import mask
from hark.doctor.rules import Credential
from hark.errors import CallerError
from hark.protocol.wire import DialectName

BETA_HEADER: Final = ("OpenAI-Beta", "realtime=v1")
KEY_SUBPROTOCOL: Final = "openai-insecure-api-key."
BETA_SUBPROTOCOL: Final = "openai-beta.realtime-v1"
DEFAULT_QUERY: Final = {"intent": "transcription"}
_PORTS: Final = {"http": 80, "https": 443}
_ENDS: Final = (
    "/realtime/transcription_sessions", "/realtime/client_secrets", "/realtime/sessions", "/realtime/calls",
    "/realtime", "/audio/transcriptions", "/models",
)  # fmt: skip


_SOCKETS: Final = ("/realtime", "/realtime/transcription_sessions")


class Target(Struct, frozen=True):
    """`prefix`: the path up to and with /v1. `path` and `query`: those of the client's WebSocket."""

    scheme: str
    host: str
    port: int
    prefix: str
    path: str
    query: dict[str, str]
    own_url: bool

    @property
    def tls(self) -> bool:
        return self.scheme == "https"

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")

    def http(self, path: str) -> str:
        return f"{self.origin}{self.prefix}{path}"

    def socket(self, path: str | None = None, query: dict[str, str] | None = None) -> str:
        """The URL of a WebSocket: the client's own, or another one of the same server."""
        asked = self.query if query is None else query
        where = self.path if path is None else self.prefix + path
        return f"ws{self.origin.removeprefix('http')}{where}" + (f"?{urlencode(asked)}" if asked else "")


def target(url: str) -> Target:
    """Raises CallerError where it is no address of a server."""
    given = url if "://" in url else f"http://{url}"
    parts = urlsplit(given)
    scheme = {"http": "http", "https": "https", "ws": "http", "wss": "https"}.get(parts.scheme, "")
    try:
        port = parts.port or _PORTS.get(scheme, 0)
        known = bool(scheme and parts.hostname)
    except ValueError:  # a port that is no number
        known, port = False, 0
    if not known:
        raise CallerError(
            "Expected the address of a server, such as http://127.0.0.1:8000 or wss://api.openai.com/v1/realtime; "
            f"got {url!r}."
        )
    path = parts.path.rstrip("/")
    end = next((end for end in _ENDS if path.endswith(end)), "")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    own = bool(query) or end in _SOCKETS or (parts.scheme in ("ws", "wss") and end.startswith("/realtime"))
    prefix = path.removesuffix(end) if end else path
    if not own and not prefix.endswith("/v1"):
        prefix += "/v1"
    if own and not end:
        end = "/realtime"
    return Target(
        scheme=scheme,
        host=parts.hostname or "",
        port=port,
        prefix=prefix,
        path=path if own else f"{prefix}/realtime",
        query=query if own else dict(DEFAULT_QUERY),
        own_url=own,
    )


def kind_of(credential: str | None) -> Credential:
    return "none" if not credential else "secret" if credential.startswith("ek_") else "key"


def shown(credential: str | None) -> str:
    """What a person may see of it."""
    if not credential:
        return "no key"
    return f"{'secret' if kind_of(credential) == 'secret' else 'key'} {mask(credential)}"


def bearer(credential: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"} if credential else {}


def beta(dialect: DialectName) -> dict[str, str]:
    return dict([BETA_HEADER]) if dialect == "beta" else {}
