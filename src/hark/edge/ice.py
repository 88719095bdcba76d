"""Where a call can reach this server: its UDP sockets, and what the answer says of them.

aioice binds any free port on every address but loopback. Here ports come from a range that a firewall can open, a
server that listens on loopback offers loopback too, and in a container the answer names the address outside it.

Rule: what aioice does after gathering is left to it. Every datagram is noted, for that is how one knows that the other
side is still there. Refuses: to look for candidates anywhere that no option names.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Any, Final

from aioice import Candidate, Connection
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol, get_host_addresses, relayed_candidate, server_reflexive_candidate
from msgspec import Struct

from hark.errors import OperatorError

log = logging.getLogger("hark.webrtc")

PATIENCE_S: Final = 5
_RECEIVE_BUFFER: Final = 1 << 18


class Network(Struct, frozen=True):
    """What the options say. `ports`: None for any. `advertised`: the addresses that answers name instead of the
    machine's own. `stun` and `turn`: URLs as browsers write them."""

    loopback: bool = True
    ports: tuple[int, int] | None = None
    advertised: tuple[str, ...] = ()
    stun: str | None = None
    turn: str | None = None
    turn_username: str | None = None
    turn_password: str | None = None

    def addresses(self) -> list[str]:
        """Those to bind, best first."""
        if self.advertised:
            loopback = [each for each in self.advertised if ip_address(each).is_loopback]
            versions = {ip_address(each).version for each in self.advertised if each not in loopback}
            return loopback + [{4: "0.0.0.0", 6: "::"}[version] for version in sorted(versions)]  # noqa: S104
        own = get_host_addresses(use_ipv4=True, use_ipv6=True)
        return ["127.0.0.1", *own] if self.loopback or not own else own


class _Socket(StunProtocol):
    """A StunProtocol that tells `heard` of every datagram."""

    def __init__(self, connection: Connection, heard: Callable[[], None]) -> None:
        super().__init__(connection)
        self._heard = heard

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        self._heard()
        super().datagram_received(data, addr)


def prepare(connection: Connection, network: Network, heard: Callable[[], None]) -> None:
    """Let `connection` gather by our rules."""

    async def gather(component: int, addresses: list[str], timeout: int = 0) -> list[Candidate]:  # noqa: ASYNC109
        return await _gather(connection, component, network, heard)

    connection.get_component_candidates = gather  # type: ignore[method-assign]


async def _gather(
    connection: Connection, component: int, network: Network, heard: Callable[[], None]
) -> list[Candidate]:
    hosts: list[_Socket] = []
    candidates: list[Candidate] = []
    for address in network.addresses():
        bound = _bind(address, network.ports)
        if bound is None:
            continue
        factory = partial(_Socket, connection, heard)
        _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(factory, sock=bound)
        port = bound.getsockname()[1]
        told = [
            _host(shown, port, component, rank) for rank, shown in enumerate(_shown(address, network), len(candidates))
        ]
        protocol.local_candidate = told[0]
        hosts.append(protocol)
        candidates += told
    if not hosts and network.turn is None:
        raise OperatorError("No UDP port is free for a call: every one of --webrtc-ports is taken. Widen the range.")
    connection._protocols += hosts
    wanted: list[asyncio.Task[tuple[Candidate, StunProtocol | None]]] = []
    if connection.stun_server:
        reflexive = [each for each in hosts if not _is_loopback(each.local_candidate.host)]
        wanted += [asyncio.create_task(server_reflexive_candidate(each, connection.stun_server)) for each in reflexive]
    if connection.turn_server:
        wanted.append(asyncio.create_task(_relayed(connection, component, heard)))
    return candidates + await _within_patience(connection, wanted)


async def _relayed(
    connection: Connection, component: int, heard: Callable[[], None]
) -> tuple[Candidate, StunProtocol | None]:
    assert connection.turn_server is not None
    return await relayed_candidate(
        component=component,
        hide_related_address=False,
        protocol_factory=lambda: _Socket(connection, heard),
        turn_server=connection.turn_server,
        turn_username=connection.turn_username,
        turn_password=connection.turn_password,
        turn_ssl=connection.turn_ssl,
        turn_transport=connection.turn_transport,
    )


async def _within_patience(
    connection: Connection, wanted: Sequence[asyncio.Task[tuple[Candidate, StunProtocol | None]]]
) -> list[Candidate]:
    """What STUN and TURN servers say in time; a server that does not answer costs a line in the log."""
    if not wanted:
        return []
    candidates = []
    done, pending = await asyncio.wait(wanted, timeout=PATIENCE_S)
    for task in done:
        if fault := task.exception():
            log.warning("a STUN or TURN server refused: %s", fault)
            continue
        candidate, protocol = task.result()
        candidates.append(candidate)
        if protocol is not None:
            connection._protocols.append(protocol)
    for task in pending:
        log.warning("a STUN or TURN server did not answer in %d s", PATIENCE_S)
        task.cancel()
    return candidates


def _bind(address: str, ports: tuple[int, int] | None) -> socket.socket | None:
    """A socket on this address and on a free port of the range; None if there is none."""
    tries = [0] if ports is None else random.sample(range(ports[0], ports[1] + 1), ports[1] - ports[0] + 1)
    for port in tries:
        bound = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            if ":" in address:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind((address, port))
        except OSError:
            bound.close()
            continue
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        bound.setblocking(False)
        return bound
    return None


def _shown(address: str, network: Network) -> list[str]:
    """The addresses that the answer names for a socket bound to this one."""
    if not ip_address(address).is_unspecified:
        return [address]
    version = ip_address(address).version
    return [each for each in network.advertised if ip_address(each).version == version and not _is_loopback(each)]


def _host(address: str, port: int, component: int, rank: int) -> Candidate:
    return Candidate(
        foundation=candidate_foundation("host", "udp", address),
        component=component,
        transport="udp",
        priority=candidate_priority(component, "host", 65_535 - rank),
        host=address,
        port=port,
        type="host",
    )


def _is_loopback(address: str) -> bool:
    return ip_address(address).is_loopback
