"""WebRTC, as a browser does it: an offer with a microphone and a data channel, the answer, packets, the first event.

Rule: the client's own way is /v1/realtime/calls (in beta /v1/realtime) with a secret, or the key where no secret could
be minted; offers to other URLs are usual mistakes, and notes. aiortc is loaded here alone.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from hark.doctor.http import Reply, ask
from hark.doctor.patient import Patient
from hark.doctor.report import Step, found, ok, skipped
from hark.doctor.rules import Asked, recognise
from hark.doctor.shapes import from_json, mapping
from hark.doctor.sockets import AGAIN, AGAIN_S, CREATED
from hark.doctor.target import DEFAULT_QUERY, bearer, beta, kind_of, shown

if TYPE_CHECKING:
    from aiortc import RTCPeerConnection

CONNECT_S: Final = 15.0
CHANNEL_S: Final = 10.0
SDP: Final = "application/sdp"


async def webrtc(patient: Patient) -> AsyncIterator[Step]:
    from aiortc import RTCConfiguration, RTCPeerConnection  # noqa: PLC0415 - takes half a second, and few need it

    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    broken = False
    try:
        async for step in _call(patient, connection):
            broken |= step.outcome != "ok"
            yield step
    finally:
        await connection.close()
    if not broken:  # after the close, for the server may allow one session at a time
        async for step in _elsewhere(patient, connection.localDescription.sdp):
            yield step


async def _call(patient: Patient, connection: RTCPeerConnection) -> AsyncIterator[Step]:
    from aiortc.mediastreams import AudioStreamTrack  # noqa: PLC0415

    channel = connection.createDataChannel("oai-events")
    events: asyncio.Queue[Any] = asyncio.Queue()
    channel.on("message", events.put_nowait)
    connected = asyncio.Event()
    connection.on("connectionstatechange", lambda: _note(connection, connected))
    connection.addTrack(AudioStreamTrack())
    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription.sdp

    credential = patient.secrets.get(patient.dialect, patient.credential)
    path = "/realtime" if patient.dialect == "beta" else "/realtime/calls"
    query = {} if kind_of(credential) == "secret" and patient.dialect == "ga" else DEFAULT_QUERY
    reply, did = await _offer(patient, path, query, offer, credential)
    if reply.status not in (200, 201) or SDP not in reply.headers.get("content-type", ""):
        asked = Asked("call", path, query, kind_of(credential), patient.dialect)
        finding = recognise(reply.answer, asked)
        lacks = finding == "no-webrtc"
        yield found("WebRTC", finding, did, reply.answer.said, outcome="note" if lacks else "broken")
        return
    yield ok("WebRTC", did, f"HTTP {reply.status} and an answer", ms=reply.ms)
    try:
        async for step in _talk(connection, reply, connected, events):
            yield step
    finally:
        await _hang_up(patient, reply)


async def _talk(
    connection: RTCPeerConnection, reply: Reply, connected: asyncio.Event, events: asyncio.Queue[Any]
) -> AsyncIterator[Step]:
    from aiortc import RTCSessionDescription  # noqa: PLC0415

    began = time.monotonic()
    try:
        await connection.setRemoteDescription(RTCSessionDescription(reply.text, "answer"))
    except Exception as error:
        yield found("WebRTC", "not-this-api", "read the answer", f"it is no SDP for this offer: {error}; {reply.text}")
        return
    with suppress(TimeoutError):
        await asyncio.wait_for(connected.wait(), CONNECT_S)
    offered = ", ".join(_candidates(reply.text)) or "none"
    if connection.connectionState != "connected":
        got = f"{connection.connectionState} after {time.monotonic() - began:.0f} s; its addresses: {offered}"
        yield found("WebRTC", "ice-failed", "sent packets to the addresses in the answer", got)
        return
    yield ok("WebRTC", f"sent packets to {offered}", "connected", ms=(time.monotonic() - began) * 1000)
    yield await _first_event(events)


async def _first_event(events: asyncio.Queue[Any]) -> Step:
    did = "waited for the data channel and its first event"
    try:
        event = mapping(from_json(await asyncio.wait_for(events.get(), CHANNEL_S)))
    except TimeoutError:
        return found("WebRTC", "no-data-channel", did, f"nothing in {CHANNEL_S:.0f} s")
    except ValueError as error:
        return found("WebRTC", "not-this-api", did, f"what came is no event: {error}")
    kind = event.get("type")
    if kind not in CREATED:
        return found("WebRTC", "refused", did, f"its first event was {event}")
    return ok("WebRTC", did, str(kind))


async def _elsewhere(patient: Patient, offer: str) -> AsyncIterator[Step]:
    """The URLs to which the beta's offers went. The calls are hung up at once."""
    secret = patient.secrets.get("beta") or patient.secrets.get("ga")
    if secret is None:
        yield skipped("WebRTC", "offers to other URLs need a secret, and none could be minted")
        return
    model = patient.transcriber or "gpt-4o-transcribe"
    for path in ("/realtime", "/realtime/transcription_sessions"):
        query = {"model": model}
        reply, did = await _offer(patient, path, query, offer, secret)
        if reply.status in (200, 201) and SDP in reply.headers.get("content-type", ""):
            yield ok("WebRTC", did, f"HTTP {reply.status} and an answer", ms=reply.ms)
            await _hang_up(patient, reply)
        else:
            asked = Asked("call", path, query, "secret", "beta")
            yield found("WebRTC", recognise(reply.answer, asked), did, reply.answer.said, outcome="note")


async def _offer(
    patient: Patient, path: str, query: dict[str, str], offer: str, credential: str | None
) -> tuple[Reply, str]:
    url = patient.target.http(path) + (f"?{urlencode(query)}" if query else "")
    headers = {"Content-Type": SDP, **bearer(credential), **beta(patient.dialect)}
    tries = AGAIN if patient.had_session else 0
    while (reply := await ask("POST", url, headers=headers, body=offer.encode(), tls=patient.tls)).status == 429:
        if tries == 0:
            break
        tries -= 1
        await asyncio.sleep(AGAIN_S)
    return reply, f"POST an SDP offer to {url} with {shown(credential)}"


async def _hang_up(patient: Patient, reply: Reply) -> None:
    """So that the server need not notice by itself that nobody is there."""
    name = reply.headers.get("location", "").partition("?")[0].rpartition("/")[2]
    if re.fullmatch(r"[\w.-]+", name, re.ASCII):
        url = patient.target.http(f"/realtime/calls/{name}/hangup")
        await ask("POST", url, headers=bearer(patient.credential), tls=patient.tls)


def _note(connection: RTCPeerConnection, connected: asyncio.Event) -> None:
    if connection.connectionState in ("connected", "failed", "closed"):
        connected.set()


def _candidates(sdp: str) -> list[str]:
    found_ = re.findall(r"^a=candidate:\S+ \d+ (\w+) \d+ (\S+) (\d+) ", sdp, re.MULTILINE)
    return list(dict.fromkeys(f"{protocol} {address}:{port}" for protocol, address, port in found_))[:8]
