"""The ground floors: the name, a TCP connection, TLS, and whether what answers speaks HTTP.

Rule: each address of a name is tried, for clients differ in which they take.
"""

from __future__ import annotations

import asyncio
import errno
import http.client
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Final

from hark.doctor.findings import FindingName
from hark.doctor.http import Reply, ask
from hark.doctor.patient import Patient
from hark.doctor.report import Step, found, ok, skipped
from hark.doctor.rules import Asked, recognise
from hark.doctor.sockets import RefusedError, by_header, session
from hark.doctor.target import sendable

CONNECT_S: Final = 5.0
# A secret of a minute's life notices more than this.
MOST_SKEW_S: Final = 15.0
# This machine has no route for such addresses at all, as with IPv6 in many clouds: no fault of the server.
NO_WAY: Final = (errno.ENETUNREACH, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


async def name(patient: Patient) -> AsyncIterator[Step]:
    host = patient.target.host
    did = f"looked up {host}"
    try:
        found_ = await asyncio.get_running_loop().getaddrinfo(host, patient.target.port, type=socket.SOCK_STREAM)
    except OSError as error:
        yield found("name", "no-such-host", did, error.strerror or str(error))
        return
    patient.addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found_))
    yield ok("name", did, "an address" if _is_address(host) else ", ".join(patient.addresses))


async def tcp(patient: Patient) -> AsyncIterator[Step]:
    port = patient.target.port
    worked, failed = [], []
    for address in patient.addresses:
        began = time.monotonic()
        try:
            async with asyncio.timeout(CONNECT_S):
                _, writer = await asyncio.open_connection(address, port)
            writer.close()
            worked.append((address, (time.monotonic() - began) * 1000))
        except (OSError, TimeoutError) as error:
            failed.append((address, error))
    did = f"connected to port {port} of {', '.join(patient.addresses)}"
    refused = ", ".join(f"{address}: {_why(error)}" for address, error in failed)
    if not worked:
        refusing = any(isinstance(error, ConnectionRefusedError) for _, error in failed)
        mend = None
        if patient.target.host in ("localhost", "127.0.0.1", "::1"):
            mend = f"Start it: hark serve --port {port}. Or give doctor the address of the server that you mean."
        yield found("TCP", "nobody-listens" if refusing else "no-answer", did, refused, mend=mend)
    elif any(getattr(error, "errno", None) not in NO_WAY for _, error in failed):
        there = ", ".join(address for address, _ in worked)
        yield found("TCP", "one-address-only", did, f"{there} answers; {refused}", outcome="note")
    else:
        beside = f"; {refused}" if refused else ""
        yield ok("TCP", did, f"it listens{beside}", ms=worked[0][1])


async def tls(patient: Patient) -> AsyncIterator[Step]:
    if not patient.target.tls:
        yield skipped("TLS", "the URL asks for none")
        return
    did = f"made a TLS connection as {patient.target.host}"
    try:
        seen = await asyncio.to_thread(_greet, patient)
    except ssl.SSLCertVerificationError as error:
        text = error.verify_message or str(error)
        kind: FindingName = "certificate-not-trusted"
        if "expired" in text or "not yet valid" in text:
            kind = "certificate-expired"
        elif "match" in text:
            kind = "certificate-other-name"
        yield found("TLS", kind, did, text)
    except ssl.SSLError as error:
        plain = error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL")
        yield found("TLS", "tls-not-spoken" if plain else "tls-failed", did, error.reason or str(error))
    except OSError as error:
        yield found("TLS", "tls-failed", did, _why(error))
    else:
        yield ok("TLS", did, seen)


async def http_(patient: Patient) -> AsyncIterator[Step]:
    """A request without a credential: whatever comes says what answers there, and what its clock says."""
    url = patient.target.http("/models")
    did = f"GET {url} without a key"
    try:
        reply = await ask("GET", url, tls=patient.tls)
    except TimeoutError:
        yield found("HTTP", "server-hangs", did, "nothing in time")
        return
    except (OSError, http.client.HTTPException) as error:
        hung_up = isinstance(error, http.client.RemoteDisconnected)
        wants_tls = not patient.target.tls and await _speaks_tls(patient)
        got = "it hung up" if hung_up else _why(error)
        yield found("HTTP", "tls-missing" if wants_tls else "not-http", did, got)
        return
    async for step in _heard(patient, reply, did):
        yield step


async def _heard(patient: Patient, reply: Reply, did: str) -> AsyncIterator[Step]:
    server = reply.headers.get("server") or reply.headers.get("via") or ""
    got = f"HTTP {reply.status}" + (f" from {server}" if server else "")
    if reply.status in range(300, 400):
        yield found("HTTP", "redirected", did, f"{got}, Location: {reply.headers.get('location', 'none')}")
        return
    if reply.status == 400 and "HTTPS" in reply.text[:2_000].upper():
        yield found("HTTP", "tls-missing", did, f"{got}: {reply.text}")
        return
    if reply.status in (200, 401, 403) or reply.answer.code or reply.answer.type:
        yield ok("HTTP", did, got, ms=reply.ms)
    elif reply.status in (404, 405) and await _has_sessions(patient):
        patient.listless = True
        yield found("HTTP", "no-model-list", did, got, outcome="note")
    else:
        finding = recognise(reply.answer, Asked("HTTP", "/v1/models"))
        yield found("HTTP", finding, did, f"{got}: {reply.text}")
        return
    if (skew := _skew(reply)) is not None:
        patient.skew_s = skew
        if abs(skew) > MOST_SKEW_S:
            way = "behind" if skew > 0 else "ahead of"
            said = f"Date: {reply.headers['date']}; this machine is {abs(skew):.0f} s {way} it"
            yield found("HTTP", "clock-skew", "compared the clocks", said, outcome="note")


async def _has_sessions(patient: Patient) -> bool:
    """Whether this API is at the client's WebSocket: some proxies pass on that path alone."""
    if patient.credential and not sendable(patient.credential):
        return False
    way = by_header(patient, patient.target.socket(), patient.in_header, patient.dialect)
    try:
        async with session(patient, way):
            return True
    except RefusedError as refused:
        return refused.answer is not None and bool(refused.answer.code or refused.answer.type)


def _skew(reply: Reply) -> float | None:
    """How many seconds the server's clock is ahead of ours."""
    try:
        return parsedate_to_datetime(reply.headers.get("date", "")).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


def _greet(patient: Patient) -> str:
    target = patient.target
    context = patient.tls or ssl.create_default_context()
    with (
        socket.create_connection((target.host, target.port), CONNECT_S) as plain,
        context.wrap_socket(plain, server_hostname=target.host) as secure,
    ):
        certificate = secure.getpeercert() or {}
        until = f", good until {certificate['notAfter']}" if "notAfter" in certificate else ""
        checked = "its certificate was not checked" if patient.insecure else f"its certificate is trusted{until}"
        return f"{secure.version()}; {checked}"


async def _speaks_tls(patient: Patient) -> bool:
    def greet() -> bool:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with (
                socket.create_connection((patient.target.host, patient.target.port), CONNECT_S) as plain,
                context.wrap_socket(plain),
            ):
                return True
        except OSError:
            return False

    return await asyncio.to_thread(greet)


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)  # asyncio's own words hide it
    return str(error) or type(error).__name__


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
