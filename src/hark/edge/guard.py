"""What a connection shows of itself: its signs of dialect, its credentials, where it comes from.

Rule: a credential may stand wherever real clients put it (contract I.11); none is ever logged. A browser page from
elsewhere may not use a server without keys: it could listen in, or spend the machine (docs/architecture.md, "Browsers
and keys"). Nor may one whose own name leads to this machine: its browser takes us for where it came from, and tells no
origin with a GET; but it tells the name (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hark.auth.keys import Keys
from hark.auth.principal import Principal
from hark.edge import addresses, requests, status
from hark.edge.lookups import look_up
from hark.errors import AuthError, CallerError
from hark.protocol.dialects import Handshake

KEY_SUBPROTOCOL: Final = "openai-insecure-api-key."
QUERY_KEYS: Final = ("authorization", "api-key", "access_token")
# Each is looked up, and a header has room for thousands; there are seven places.
MAX_CREDENTIALS: Final = 8
# Names that nobody can register: RFC 6761, 6762 and 8375, ICANN's .internal, and what home routers use.
OWN_ENDINGS: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


def handshake(connection: HTTPConnection) -> Handshake:
    return Handshake(
        path=connection.url.path.rstrip("/"),
        query=dict(connection.query_params),
        headers={name: ", ".join(connection.headers.getlist(name)) for name in connection.headers},
        subprotocols=subprotocols(connection),
    )


def subprotocols(connection: HTTPConnection) -> list[str]:
    offered: list[str] = connection.scope.get("subprotocols", [])
    return list(offered)


def credentials(connection: HTTPConnection) -> list[str]:
    """Every key that the request carries, in header, subprotocol or query. Raises AuthError for a heap of them."""
    headers, query = connection.headers, connection.query_params
    found = [headers.get("authorization", ""), headers.get("api-key", "")]
    found += [
        name.removeprefix(KEY_SUBPROTOCOL) for name in subprotocols(connection) if name.startswith(KEY_SUBPROTOCOL)
    ]
    found += [query.get(name, "") for name in QUERY_KEYS]
    different = list(dict.fromkeys(key for value in found if (key := _without_scheme(value))))
    if len(different) > MAX_CREDENTIALS:
        message = f"Expected one API key, at most {MAX_CREDENTIALS} different ones; got {len(different)}. Send one."
        raise AuthError(message, code="invalid_api_key")
    return different


async def admit(connection: HTTPConnection, keys: Keys, *, any_origin: bool) -> Principal:
    """Who is calling. Raises AuthError, and StorageError if the key store cannot tell."""
    shown = credentials(connection)
    own = keys.own(shown)
    return own if own is not None else await look_up(lambda: _admit(connection, shown, keys, any_origin=any_origin))


def _admit(connection: HTTPConnection, shown: list[str], keys: Keys, *, any_origin: bool) -> Principal:
    origin = connection.headers.get("origin")
    if not any_origin and not keys.required:
        if origin and not addresses.is_loopback(origin):
            raise _foreign(origin)
        check_name(connection)
    who = keys.admit(shown)
    if origin and who.origins and origin not in who.origins:
        message = f"Pages from {origin} may not use this key: it is for {', '.join(who.origins)}."
        raise AuthError(message, code="origin_not_allowed")
    return who


def check_name(connection: HTTPConnection) -> None:
    """Raises AuthError if the server was reached by a name that a stranger can own. An address is none, nor is a name
    that no public server of names has; without one it was no browser."""
    named = connection.headers.get("host", "")
    if not _is_stranger(named):
        return
    message = (
        f"This server has no key set, so it answers to its address and to names of this network; got "
        f"'{named[:100]}', which any page could have made lead here. Start it with --api-key, and send that key."
    )
    raise AuthError(message, code="origin_not_allowed")


def _is_stranger(named: str) -> bool:
    """Whether a Host is a name of the public network, or nothing that can be read."""
    try:
        host = (urlsplit(f"//{named}").hostname or "").rstrip(".")
    except ValueError:
        return True
    with suppress(ValueError):
        ip_address(host.partition("%")[0])
        return False
    return "." in host and not host.endswith(OWN_ENDINGS)


def cross_origin(app: ASGIApp, any_origin: Callable[[], bool]) -> ASGIApp:
    """`app` with CORS on every HTTP answer and preflight: any origin where only keys count, else loopback ones. Which
    of the two is asked anew each time, for the first key may be made while the server runs."""

    def layer(*origins: str) -> CORSMiddleware:
        return _Cors(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            allow_private_network=True,  # Chrome asks before a page from outside reaches this network
            expose_headers=requests.EXPOSED,
        )

    every, own = layer("*"), layer()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await (every if any_origin() else own)(scope, receive, send)

    return answer


class _Cors(CORSMiddleware):
    """Pages of this machine may always read; a preflight is refused in the envelope, as everything is."""

    def is_allowed_origin(self, origin: str) -> bool:
        return super().is_allowed_origin(origin) or addresses.is_loopback(origin)

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        told = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        if self.is_allowed_origin(request_headers["origin"]):
            allowed = ", ".join(self.allow_methods)
            told["allow"] = allowed
            message = f"Pages may send {allowed} to this server, no other method."
            return status.envelope(CallerError(message, code="method_not_allowed"), 405, told)
        return status.envelope(_foreign(request_headers["origin"]), headers=told)


def _foreign(origin: str) -> AuthError:
    message = (
        f"Pages from {origin} may not use this server: it has no key set, so it answers only pages of "
        "this machine. Start it with --api-key, and send that key."
    )
    return AuthError(message, code="origin_not_allowed")


def _without_scheme(value: str) -> str:
    scheme, _, rest = value.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value.strip()
