"""A file is a session that arrives at once: the same turns, the same models, and no transport.

Rule: the file is decoded in a thread, a second at a time, and no further than the session wants to hear, so a recording
of hours takes no more memory than one of a minute. Refuses: what holds less than 0.1 s of sound, or more than the
server allows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from io import BytesIO
from typing import BinaryIO, Final

from msgspec import structs

from hark.audio.files import probe, read_audio, stream_audio
from hark.audio.formats import encode
from hark.auth.principal import ANONYMOUS, Principal
from hark.core.messages import AnyCommand, AppendAudio, Event, FinishSession, SessionView
from hark.core.settings import AudioFormat, ModelCard, SessionSettings
from hark.core.work import SAMPLE_RATE, Audio, Compute, to_ms
from hark.edge.ids import new_id
from hark.edge.pump import Pump
from hark.edge.witness import Opened, Witnesses
from hark.errors import CallerError, HarkError, InternalError
from hark.session.session import Charge, Session
from hark.session.speakers import Known

LEAST_SAMPLES: Final = SAMPLE_RATE // 10
WIRE: Final = AudioFormat("pcm16", SAMPLE_RATE)


# How long a recording of a known speaker may be (contract A.8).
REFERENCE_S: Final = (2.0, 10.0)


def read_reference(name: str, file: bytes) -> Known:
    """The recording of a known speaker. Blocks. Raises CallerError."""
    least, most = REFERENCE_S
    try:
        declared = probe(BytesIO(file)) or 0.0
        heard = read_audio(BytesIO(file), most_s=most)
    except CallerError as error:
        message = f"The recording of '{name[:40]}' cannot be read: {error.message}"
        raise CallerError(message, code="invalid_value", param="known_speaker_references") from error
    seconds = max(declared if declared > most + 1 else 0.0, len(heard) / SAMPLE_RATE)
    if not least <= seconds <= most:
        message = (
            f"Expected {least:.0f} to {most:.0f} seconds of audio in 'known_speaker_references'; that of '{name[:40]}' "
            f"has {seconds:.1f}. Cut it."
        )
        raise CallerError(message, code="invalid_value", param="known_speaker_references")
    return Known(name, heard)


class Recording:
    """`file` is read from where it stands and stays the caller's to close, after `close`."""

    def __init__(self, file: BinaryIO, most_minutes: int) -> None:
        self._file = file
        self._most_minutes = most_minutes
        self._pieces = stream_audio(file)
        self._step: asyncio.Future[Audio | None] | None = None
        self._first: list[Audio] = []
        self._samples = 0
        self.declared_samples = 0
        self.failure: HarkError | None = None

    @property
    def duration_ms(self) -> int:
        """How long the recording is, as far as it has been decoded."""
        return to_ms(self._samples)

    async def open(self) -> None:
        """Find out what can be found out before a session begins. Raises CallerError."""
        declared_s = await asyncio.to_thread(probe, self._file)
        declared = (declared_s or 0) * SAMPLE_RATE
        self._allow(declared)
        self.declared_samples = int(declared)
        while self._samples < LEAST_SAMPLES:
            piece = await self._decode()
            if piece is None:
                message = (
                    "Audio file is too short. Minimum audio length is 0.1 seconds. "
                    f"This one has {self._samples / SAMPLE_RATE:.3f}."
                )
                raise CallerError(message, code="audio_too_short", param="file")
            self._first.append(piece)

    async def commands(self) -> AsyncIterator[AnyCommand]:
        """All of it, then the end of the session; a fault on the way is kept in `failure` and ends the commands."""
        try:
            for piece in self._first:
                yield AppendAudio(audio=encode(piece, WIRE.encoding))
            self._first.clear()
            while (further := await self._decode()) is not None:
                yield AppendAudio(audio=encode(further, WIRE.encoding))
        except HarkError as error:
            self.failure = error
            return
        yield FinishSession()
        await asyncio.Event().wait()  # the end of commands would mean that nobody wants to hear the rest

    async def close(self) -> None:
        """Let go of the file, once the thread has."""
        if self._step is not None:
            await asyncio.gather(self._step, return_exceptions=True)
        await asyncio.to_thread(self._pieces.close)

    async def _decode(self) -> Audio | None:
        self._step = asyncio.ensure_future(asyncio.to_thread(next, self._pieces, None))
        piece = await asyncio.shield(self._step)
        if piece is not None:
            self._samples += len(piece)
            self._allow(self._samples)
        return piece

    def _allow(self, samples: float) -> None:
        if samples > self._most_minutes * 60 * SAMPLE_RATE:
            message = f"Expected at most {self._most_minutes} minutes of audio; the file has more. Send it in parts."
            raise CallerError(message, code="audio_too_long", param="file")


async def listen(
    recording: Recording,
    settings: SessionSettings,
    card: ModelCard,
    compute: Compute,
    *,
    tell: Callable[[Event], Awaitable[None]],
    charge: Charge = lambda samples: None,
    known_speakers: Sequence[Known] = (),
    witnesses: Witnesses | None = None,
    who: Principal = ANONYMOUS,
    position: Callable[[], int] = lambda: 0,
) -> None:
    """The session that hears the recording, to its end; `charge` is the session's, `who` sent it, and `position` is as
    in Opened.
    Raises what ends it before; nothing of it goes on then."""
    view = SessionView(new_id("sess"), int(time.time()), structs.replace(settings, format=WIRE))
    now = asyncio.get_running_loop().time()
    session = Session(
        view,
        find_model=lambda name: card,
        new_id=new_id,
        now=now,
        charge=charge,
        judges_pace=False,
        live=False,
        known_speakers=known_speakers,
    )
    opened = Opened(view.id, "upload", who.key_id, settings.model, key_name=who.name, position=position)
    audience = (witnesses or Witnesses()).of(opened)
    try:
        ended = await Pump(session, audience.around(compute), tell=audience.before(tell)).run(recording.commands())
    finally:
        audience.gone()
    failure = ended.error if ended is not None else recording.failure or InternalError("A recording broke off.")
    if failure is not None:
        raise failure
