"""Whose connection it is, as far as the network tells: the address that sessions and connections are counted by.

Rule: the address is that of the connection. What a header says of it counts only where the connection comes from a
proxy that the operator named (`--forwarded-allow-ips`), for anybody can write a header; uvicorn puts it in its place
then. Who has one IPv6 address has a /64 of them as a rule (RFC 6177), so that is what counts.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from hark.errors import OperatorError

ANYBODY: Final = "*"
_SUBNET_BITS: Final = 64


def counted(host: str) -> str:
    """ "203.0.113.5", "2001:db8:1:2::/64", or "" for what is no address."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:  # a socket for both kinds shows the older one so
        return str(address.ipv4_mapped)
    return str(ip_network((address, _SUBNET_BITS), strict=False))


def of(connection: HTTPConnection) -> str:
    """That of a request, "" if it is not known."""
    return counted(connection.client.host) if connection.client else ""


def proxies(written: str | None) -> list[str]:
    """The proxies that are believed, as uvicorn takes them. Raises OperatorError for what is no address."""
    found = [part.strip() for part in (written or "").split(",") if part.strip()]
    for part in found:
        try:
            if part != ANYBODY or len(found) > 1:
                ip_network(part)
        except ValueError:
            raise OperatorError(
                f"--forwarded-allow-ips {written}: expected IP addresses or networks such as 10.0.0.5 or 10.0.0.0/8, "
                f"with commas between, or * alone; got {part!r}."
            ) from None
    return found


def is_loopback(origin: str) -> bool:
    """Whether an origin is on its browser's own machine, and so as trustworthy as one by https."""
    try:
        host = urlsplit(origin).hostname or ""
        return host == "localhost" or host.endswith(".localhost") or ip_address(host).is_loopback
    except ValueError:
        return False
