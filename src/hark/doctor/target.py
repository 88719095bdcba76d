"""What is examined: an address as people have it, a base URL or the very URL of their client, and what goes with it.

Rule: the client's own URL is what counts, so it is asked as it stands; where only a base is given, the URL that
OpenAI's documents give for transcription is used. No key is ever shown, where ever in a URL it stands.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, quote, unquote_plus, urlencode, urlsplit

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
_KEY_NAME: Final = r"[^=&?#\s]*(?:key|token|secret|auth|pass|credential|signature)[^=&#\s]*"
_IN_QUERY: Final = re.compile(rf"([?&]{_KEY_NAME}=)([^&#\s]+)", re.IGNORECASE)
_NAMES_KEY: Final = re.compile(_KEY_NAME, re.IGNORECASE)
_IN_FRONT: Final = re.compile(r"(?<=://)[^/@\s]+(?=@)")
# What may stand in a header as a whole word.
_SENDABLE: Final = re.compile(r"[\x21-\x7e]+")


class Target(Struct, frozen=True):
    """`prefix`: the path up to and with /v1. `path` and `query`: those of the client's WebSocket."""

    scheme: str
    host: str
    port: int
    prefix: str
    path: str
    query: dict[str, str]

    @property
    def tls(self) -> bool:
        return self.scheme == "https"

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")

    @property
    def secrets(self) -> list[str]:
        """The keys that stand in the query."""
        words = [value.rpartition(" ")[2] for name, value in self.query.items() if _NAMES_KEY.fullmatch(name)]
        return [word for word in words if word]

    def http(self, path: str) -> str:
        return f"{self.origin}{self.prefix}{path}"

    def socket(self, path: str | None = None, query: dict[str, str] | None = None) -> str:
        """The URL of a WebSocket: the client's own, or another one of the same server."""
        asked = self.query if query is None else query
        where = self.path if path is None else self.prefix + path
        return f"ws{self.origin.removeprefix('http')}{where}" + (f"?{urlencode(asked)}" if asked else "")


def target(url: str) -> Target:
    """Raises CallerError where it is no address of a server."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        scheme = {"http": "http", "https": "https", "ws": "http", "wss": "https"}[parts.scheme]
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port or _PORTS[scheme]
    except (ValueError, KeyError):  # another scheme, a port that is no number, a host that can be none
        host = ""
    if not host:
        raise CallerError(
            "Expected the address of a server, such as http://127.0.0.1:8000 or wss://api.openai.com/v1/realtime; "
            f"got {hidden(url)!r}."
        )
    if parts.username is not None:
        raise CallerError(
            "Expected a URL without user and password, which browsers refuse and no server of this API looks at; "
            f"got {hidden(url)!r}. Give the key by --api-key."
        )
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    bare = path.rstrip("/")
    end = next((end for end in _ENDS if bare.endswith(end)), "")
    own = end in _SOCKETS or (parts.scheme in ("ws", "wss") and bool(bare) and not bare.endswith("/v1"))
    prefix = bare.removesuffix(end)
    if not prefix.endswith("/v1"):
        before, version, _ = prefix.rpartition("/v1/")
        prefix = f"{before}/v1" if version else prefix if own else f"{prefix}/v1"
    return Target(
        scheme=scheme,
        host=host,
        port=port,
        prefix=prefix,
        path=path if own else f"{prefix}/realtime",
        query=query if own or query else dict(DEFAULT_QUERY),
    )


def hidden(text: str) -> str:
    """The same with what stands in URLs as a key or a password masked."""
    inside = _IN_QUERY.sub(lambda match: match[1] + mask(unquote_plus(match[2])), text)
    return _IN_FRONT.sub("***", inside)


def sendable(credential: str) -> bool:
    return bool(_SENDABLE.fullmatch(credential))


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
