"""WebRTC over HTTP: POST of an SDP offer makes a call, POST …/hangup ends it (contract A.4 to A.6).

Rule: who may call is who may connect a WebSocket, with the same credentials, the same limits and the same session. A
call belongs to the key that made it, or to the client secret and the key behind it: with another one it is not there.
Refuses: what telephone calls alone have. aiortc is loaded by the first offer, so that servers without calls start as
quickly.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hark.audio import opus
from hark.auth.keys import Keys
from hark.auth.principal import Principal
from hark.core.messages import DEFAULT_SESSION_MODEL, SessionView
from hark.core.settings import AudioFormat
from hark.core.work import Compute
from hark.edge import addresses, guard
from hark.edge.eventlog import EventLog, EventLogs
from hark.edge.forms import read_form
from hark.edge.ids import new_id
from hark.edge.limits import Limits
from hark.edge.witness import Opened, Witnesses
from hark.errors import CallerError, NotFoundError, TooLargeError
from hark.protocol import minting, offers
from hark.protocol.dialects import Choice
from hark.protocol.offers import MAX_OFFER_BYTES, Offer
from hark.session.configuration import FindModel
from hark.session.session import Session

if TYPE_CHECKING:
    from hark.edge.call import Call, ChannelEar
    from hark.edge.ice import Network

log = logging.getLogger("hark.session")

# The GA dialect's URL; with and without /v1, and Azure's.
PATHS: Final = ("/v1/realtime/calls", "/realtime/calls", "/openai/v1/realtime/calls", "/openai/realtime/calls")
# Where Azure's preview takes offers, on a host of its own.
AZURE_PATH: Final = "/v1/realtimertc"
SDP: Final = "application/sdp"
# For a call to end before its hang-up is answered. Clients wait for 5 s, if they are not told how long.
HANG_UP_S: Final = 4.0
TELEPHONE: Final = ("accept", "refer", "reject")


class Calls:
    """What making calls needs, and the calls that there are. `network` is asked for when aiortc has been loaded;
    `loopback`: whether this machine alone can call."""

    def __init__(
        self,
        *,
        keys: Keys,
        find_model: FindModel,
        compute: Compute,
        lifetime_s: float,
        idle_s: float | None = None,
        limits: Limits,
        network: Callable[[], Network],
        any_origin: bool = False,
        loopback: bool = True,
        session_model: str = DEFAULT_SESSION_MODEL,
        logs: EventLogs | None = None,
        mint_id: Callable[[str], str] = new_id,
        witnesses: Witnesses | None = None,
        missed: Callable[[int, int], None] = lambda lost, late: None,
    ) -> None:
        self._missed = missed
        self.keys = keys
        self.any_origin = any_origin
        self._loopback = loopback
        self._find_model = find_model
        self._compute = compute
        self._lifetime_s = lifetime_s
        self._idle_s = idle_s
        self.limits = limits
        self._network = network
        self._session_model = session_model
        self.logs = logs or EventLogs()
        self.mint_id = mint_id
        self.witnesses = witnesses or Witnesses()
        self._calls: dict[str, Call] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def change(self, find_model: FindModel, lifetime_s: float, session_model: str) -> None:
        """For calls that are made from now on."""
        self._find_model = find_model
        self._lifetime_s = lifetime_s
        self._session_model = session_model

    def routes(self) -> Sequence[Route]:
        return [
            *(Route(path + slash, self.offer, methods=["POST"]) for path in PATHS for slash in ("", "/")),
            Route(AZURE_PATH, self.offer, methods=["POST"]),
            *(Route(f"{path}/{{call_id}}/hangup", self.hang_up, methods=["POST"]) for path in PATHS),
            *(
                Route(f"{path}/{{call_id}}/{verb}", self.telephone, methods=["POST"])
                for path in PATHS
                for verb in TELEPHONE
            ),
        ]

    @property
    def how_many(self) -> int:
        return len(self._calls)

    # ---- HTTP ----------------------------------------------------------------------------------------------------

    async def offer(self, request: Request) -> Response:
        """201 and the answer, whichever of the URLs it came to."""
        who = await guard.admit(request, self.keys, any_origin=self.any_origin)
        offer = await _read(request)
        minted = None if who.configuration is None else minting.unpack(who.configuration)
        shown = guard.handshake(request)
        choice = offers.choose_call(shown, self._find_model, minted, offer.session, ga=shown.path in PATHS)
        answer, call = await self._begin(request, who, choice, offers.clean(offer.sdp, loopback=self._loopback))
        headers = {"location": f"/v1/realtime/calls/{call.id}"}
        return Response(answer, status_code=201, headers=headers, media_type=SDP)

    async def hang_up(self, request: Request) -> Response:
        """200 and nothing, once, and as a rule when it is no session of its key any more: the next call may follow."""
        who = await guard.admit(request, self.keys, any_origin=self.any_origin)
        call = self.find(request.path_params["call_id"], who)
        call.end("it was hung up")
        await asyncio.wait({self._tasks[call.id]}, timeout=HANG_UP_S)
        return Response(status_code=200)

    async def telephone(self, request: Request) -> Response:
        who = await guard.admit(request, self.keys, any_origin=self.any_origin)
        self.find(request.path_params["call_id"], who)
        verb = request.url.path.rpartition("/")[2]
        message = (
            f"'{verb}' is for telephone calls (SIP), which this server does not take. A call by WebRTC is answered by "
            "the POST that makes it, and ended by POST …/hangup."
        )
        raise CallerError(message, code="not_a_telephone_call")

    def find(self, call_id: str, who: Principal) -> Call:
        """A call that has not begun to end. Raises NotFoundError, for another key's too."""
        call = self._calls.get(call_id)
        if call is None or not who.reaches(call.owner) or call.ending is not None:
            message = (
                f"There is no call '{call_id[:100]}' of this key, or it has ended. Its id is the last part of the "
                "Location that answered the offer."
            )
            raise NotFoundError(message, code="call_not_found", param="call_id")
        return call

    def leave(self) -> None:
        """Every call ends at its next moment of quiet."""
        for call in list(self._calls.values()):
            call.leave()

    async def stop(self) -> None:
        """End every call, each as it should."""
        for call in list(self._calls.values()):
            call.end("the server stops")
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    # ---- a call --------------------------------------------------------------------------------------------------

    async def _begin(self, request: Request, who: Principal, choice: Choice, sdp: str) -> tuple[str, Call]:
        await asyncio.to_thread(_load)
        from hark.edge.call import Call, ChannelEar  # noqa: PLC0415 - see the head of this file
        from hark.edge.peer import Peer  # noqa: PLC0415

        async with AsyncExitStack() as stack:
            meter = await stack.enter_async_context(self.limits.session(who, addresses.of(request)))
            expires_at = int(time.time() + self._lifetime_s)
            session = Session(
                SessionView(self.mint_id("sess"), expires_at, choice.settings, self._session_model),
                find_model=self._find_model,
                new_id=new_id,
                now=asyncio.get_running_loop().time(),
                lifetime_s=self._lifetime_s,
                charge=meter.charge,
                judges_pace=False,  # packets say their rate
            )
            call_id = self.mint_id("rtc")
            name, model = who.name, choice.settings.model
            opened = Opened(session.id, "webrtc", who.key_id, model, call_id, name, meter.position)
            call = Call(call_id, who, session, self._compute, self.witnesses.of(opened), idle_s=self._idle_s)
            stack.callback(call.forget)  # for an offer that is refused
            kept = self.logs.begin(request, "webrtc")
            stack.callback(kept.close)
            ear = ChannelEar(choice.dialect, kept)
            peer = Peer(self._network(), _Connected(call, ear, kept, self._missed))
            stack.push_async_callback(peer.close)
            stack.callback(lambda: kept.ended("received", 1000, call.ending or "the offer was refused"))
            ear.peer = peer
            answer = await peer.answer(sdp)
            call.attach(ear)
            self._calls[call.id] = call
            if self.limits.draining:  # it came in through the door just before that was shut
                call.leave()
            kind = choice.settings.kind
            log.info("%s opened: %s %s by %s (%s)", session.id, choice.dialect, kind, who.name, call.id)
            self._tasks[call.id] = task = asyncio.create_task(self._run(call, stack.pop_all()))
            task.add_done_callback(lambda task: self._tasks.pop(call.id))
            return answer, call

    async def _run(self, call: Call, stack: AsyncExitStack) -> None:
        async with stack:
            try:
                await call.run()
            except Exception:
                log.exception("%s: unhandled fault", call.session.id)
            finally:
                self._calls.pop(call.id, None)
                log.info("%s closed: %s", call.session.id, call.ending)


class _Connected:
    """What a peer hears, passed on to its call. The data channel is the first of its ears, number 1."""

    def __init__(self, call: Call, ear: ChannelEar, kept: EventLog, missed: Callable[[int, int], None]) -> None:
        self._missed = missed
        self._call = call
        self._ear = ear
        self._kept = kept

    def audio(self, audio: bytes, form: AudioFormat) -> None:
        self._call.hear(audio, form)

    def missed(self, lost: int, late: int) -> None:
        self._missed(lost, late)

    def opened(self) -> None:
        self._ear.opened()

    def message(self, frame: str | bytes) -> None:
        self._kept.frame("sent", frame)
        self._call.say(1, frame)

    def gone(self, why: str) -> None:
        self._kept.ended("sent", 1000, why)
        self._call.end(why)


def _load() -> None:
    """aiortc, and libopus. Raises OperatorError if that is not there."""
    importlib.import_module("hark.edge.call")
    opus.load()


def offers_sdp(request: Request) -> bool:
    """Whether a POST to a URL that serves other ends too is an offer."""
    return request.headers.get("content-type", "").lower().startswith((SDP, "multipart/form-data"))


def either(other: Callable[[Request], Awaitable[Response]], calls: Calls) -> Callable[[Request], Awaitable[Response]]:
    """`other`, or an offer where the content type says so (contract A.5)."""

    async def endpoint(request: Request) -> Response:
        return await (calls.offer if request.method == "POST" and offers_sdp(request) else other)(request)

    return endpoint


async def _read(request: Request) -> Offer:
    """The body in any of its forms. Raises CallerError."""
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return await _read_form(request)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_OFFER_BYTES:
            message = f"Expected an offer of at most {MAX_OFFER_BYTES} bytes; got more. Send the SDP alone."
            raise TooLargeError(message, code="request_too_large")
    return offers.read_offer(bytes(body))


async def _read_form(request: Request) -> Offer:
    """Parts `sdp` and `session`, with types and filenames or without."""
    form = await read_form(request, MAX_OFFER_BYTES)
    try:
        parts = {name: value.encode() for name, value in form.fields}
        for name, file in form.files:
            parts[name] = await file.read()
    finally:
        await form.close()
    if "sdp" not in parts:
        raise offers.invalid("The form has no part 'sdp'. Send one with the offer, and one 'session' if you like.")
    return Offer(parts["sdp"].decode(errors="replace"), parts.get("session"))
