"""What `--compute` names: this machine, or where workers are to be reached."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from hark.errors import OperatorError

LOCAL: Final = "local"
# Serve's own for its gRPC ingress.
PORT: Final = 9000
_SCHEMES: Final = {"ray": False, "rays": True}


class Ingress(Struct, frozen=True):
    """Where Serve's gRPC ingress listens, HOST:PORT each, and whether it speaks TLS."""

    addresses: tuple[str, ...]
    tls: bool = False


def ingress(compute: str) -> Ingress | None:
    """None for this machine. Raises OperatorError for what is neither."""
    if compute.strip().casefold() == LOCAL:
        return None
    scheme, separator, rest = compute.strip().partition("://")
    places = [part.strip() for part in rest.rstrip("/").split(",")]
    if not separator or scheme.casefold() not in _SCHEMES or not all(places):
        raise _unreadable(compute)
    return Ingress(tuple(_with_port(place, compute) for place in places), _SCHEMES[scheme.casefold()])


def _with_port(place: str, compute: str) -> str:
    """HOST, HOST:PORT, [V6] or [V6]:PORT, with the port."""
    if any(letter in place for letter in "/@?# "):
        raise _unreadable(compute)
    host, colon, port = place.rpartition(":")
    if not colon or place.endswith("]"):
        return f"{place}:{PORT}"
    if not host or not (port.isdecimal() and 0 < int(port) < 65_536) or (":" in host and not host.startswith("[")):
        raise _unreadable(compute)
    return place


def _unreadable(compute: str) -> OperatorError:
    return OperatorError(
        f"--compute {compute}: expected local, or ray://HOST:PORT where Ray Serve's gRPC ingress listens (port {PORT} "
        "unless it was changed), several with commas between, or rays:// for TLS. An IPv6 address stands in brackets."
    )
