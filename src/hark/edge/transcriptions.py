"""POST /v1/audio/transcriptions, /v1/audio/translations and /transcribe.

Rule: what is wrong with a request is found before its answer begins, so that it gets a status; what goes wrong in a
stream that has begun is its last frame. When the client goes away, the work stops. Every error carries the usage that
OpenAI's carry (contract A.8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct, field, structs
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from hark.auth.keys import Keys
from hark.auth.principal import Principal
from hark.core.messages import Event, TranscriptFailed
from hark.core.settings import Json, ModelCard
from hark.core.work import Compute
from hark.edge import addresses, guard, status
from hark.edge.forms import read_form
from hark.edge.limits import Limits, Meter
from hark.edge.recording import Recording, listen, read_reference
from hark.edge.witness import Witnesses
from hark.errors import CallerError, HarkError, OperatorError, TooLargeError
from hark.protocol.transcripts import Heard
from hark.protocol.uploads import Fields, Upload, read_upload
from hark.session.configuration import FindModel
from hark.session.speakers import Known

T = TypeVar("T")
NO_USAGE: Final[dict[str, Json]] = {"type": "duration", "seconds": 0}
_FORMATS: Final = ["flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm"]


class Transcriptions(Struct, frozen=True):
    """What the endpoints need: who may come in, which models there are, who runs them, how much a file may hold."""

    keys: Keys
    find_model: FindModel
    compute: Compute
    max_bytes: int
    max_minutes: int
    limits: Limits
    any_origin: bool = False
    witnesses: Witnesses = field(default_factory=Witnesses)

    async def transcribe(self, request: Request) -> Response:
        return await self._answer(request, in_full=True)

    async def transcribe_plainly(self, request: Request) -> Response:
        """The same for an upload that knows only `file` and reads only `text`."""
        return await self._answer(request, in_full=False)

    async def translate(self, request: Request) -> Response:
        try:
            await guard.admit(request, self.keys, any_origin=self.any_origin)
        except CallerError as error:
            return _refusal(error)
        message = (
            "No model of this server translates. POST the file to /v1/audio/transcriptions for a transcript in the "
            "language that is spoken."
        )
        return _refusal(CallerError(message, code="translation_not_offered", param="model"))

    async def _answer(self, request: Request, *, in_full: bool) -> Response:
        async with AsyncExitStack() as stack:
            try:
                who = await guard.admit(request, self.keys, any_origin=self.any_origin)
                session = self.limits.session(who, addresses.of(request), live=False)
                meter = await stack.enter_async_context(session)
                form = await read_form(request, self.max_bytes)
                stack.push_async_callback(form.close)
                file = form.file()
                upload = read_upload(_with_deployment(request, form.fields, self.find_model), self.find_model)
                recording = Recording(file.file, self.max_minutes)
                stack.push_async_callback(recording.close)
                await _open(recording, upload)
                meter.expect(recording.declared_samples)
                known = [await asyncio.to_thread(read_reference, k.name, k.file) for k in upload.known_speakers]
                job = _Job(upload, recording, self.compute, meter, tuple(known), self.witnesses, who)
                if upload.stream and in_full:
                    return _EventStream(job, stack.pop_all())
                heard = await _while_there(request.receive, job.run(_quietly))
            except ClientDisconnect:
                return Response(status_code=status.CLIENT_GONE)
            except OperatorError:
                raise  # which is for the log
            except HarkError as error:
                refusal = _refusal(error)
                if isinstance(error, TooLargeError) and "content-length" not in request.headers:
                    refusal.headers["connection"] = "close"  # such a body may have no end
                return refusal
            if not in_full:
                return JSONResponse({"text": heard.text})
            answer = heard.answer(recording.duration_ms)
            return Response(answer.body, media_type=answer.media_type)


class _Job(Struct, frozen=True):
    upload: Upload
    recording: Recording
    compute: Compute
    meter: Meter
    known_speakers: tuple[Known, ...]
    witnesses: Witnesses
    who: Principal

    async def run(self, tell: Callable[[Json], Awaitable[None]]) -> Heard:
        """Hear the recording to its end; `tell` gets the frames of a stream."""
        heard = Heard(self.upload)

        async def hear(event: Event) -> None:
            if isinstance(event, TranscriptFailed):
                raise event.error
            for frame in heard.stream(event):
                await tell(frame)

        # Which languages were heard is wanted here for any model; the answer says it for those that do (fact 11).
        card: ModelCard = structs.replace(self.upload.card, languages=True, diarizes=self.upload.diarizes)
        await listen(
            self.recording,
            self.upload.settings,
            card,
            self.compute,
            tell=hear,
            charge=self.meter.charge,
            known_speakers=self.known_speakers,
            witnesses=self.witnesses,
            who=self.who,
            position=self.meter.position,
        )
        return heard


class _EventStream(Response):
    """Server-sent events: frames of `data:` alone, then [DONE]."""

    media_type = "text/event-stream"

    def __init__(self, job: _Job, stack: AsyncExitStack) -> None:
        super().__init__(headers={"cache-control": "no-cache"})
        del self.headers["content-length"]
        self._job = job
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def write(text: str, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": more})

        async def tell(frame: Json) -> None:
            await write(f"data: {msgspec.json.encode(frame).decode()}\n\n")

        async with self._stack:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            try:
                heard = await _while_there(receive, self._job.run(tell))
                await tell(heard.done(self._job.recording.duration_ms))
            except ClientDisconnect:
                return
            except HarkError as error:
                await tell({"error": status.fault(error)})
            except Exception as error:
                await tell({"error": status.fault(status.failure(scope["state"]["request_id"], error))})
        # The client may take this for leave to send the next file: by now it is no session of its key any more.
        await write("data: [DONE]\n\n", more=False)


def _with_deployment(request: Request, fields: list[tuple[str, str]], find_model: FindModel) -> list[tuple[str, str]]:
    """The fields, and on Azure's path the deployment for the model that they do not name. People name deployments as
    they like; a name that nobody offers says nothing, as in the query of a WebSocket."""
    deployment = request.path_params.get("deployment")
    if deployment is None:
        return fields
    named = Fields(fields).one("model") or deployment
    kept = [(name, value) for name, value in fields if name.partition("[")[0] != "model"]
    return [*kept, ("model", named)] if named != deployment or find_model(deployment) else kept


async def _open(recording: Recording, upload: Upload) -> None:
    """Raises CallerError, in the words that clients of the model's family know."""
    try:
        await recording.open()
    except CallerError as error:
        if error.code is not None:
            raise
        if upload.card.name.startswith("gpt-4o"):
            message = f"This model does not support the format you provided. {error.message}"
            raise CallerError(message, code="unsupported_format", param="messages") from error
        raise CallerError(f"Invalid file format. Supported formats: {_FORMATS}. {error.message}") from error


async def _while_there(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives. Raises ClientDisconnect as soon as the client has gone; `work` is cancelled then."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _quietly(frame: Json) -> None:
    pass


def _refusal(error: HarkError) -> Response:
    return status.envelope(error, usage=NO_USAGE)
