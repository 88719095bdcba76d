"""`hark transcribe`: the transcript of an audio file, by a server of its own or by one that is running.

Rule: the transcript alone goes to standard output; progress and complaints go to standard error. What is wrong with the
command is found before any work begins. Refuses: half a file. What was transcribed before a failure is printed instead.
"""

from __future__ import annotations

import asyncio
import io
import os
import secrets
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, nullcontext
from itertools import chain
from pathlib import Path
from typing import Annotated, BinaryIO, Final

from cyclopts import Parameter
from msgspec import Struct
from pydantic import SecretStr
from rich.console import Console
from rich.live import Live

from hark.app import running
from hark.audio.files import probe, stream_audio
from hark.cli import trust
from hark.cli.live import FRAMES_PER_SECOND, LiveView, StatusLine, plain_line
from hark.client import Conversation, RealtimeClient, connect, realtime_url, stream
from hark.config import Settings
from hark.core.settings import TurnDetectionPatch
from hark.core.work import SAMPLE_RATE, Audio
from hark.errors import CallerError, HarkError, OperatorError
from hark.protocol.subtitles import WRITERS, to_text

FAILED: Final = 1
WRONG_USE: Final = 2
INTERRUPTED: Final = 130  # what shells report of a command that Ctrl-C ended


class Recording(Struct, frozen=True):
    """Audio that has been found to be readable. `length` in seconds, None where the file does not say."""

    pieces: Iterable[Audio]
    length: float | None


def transcribe_command(
    file: Annotated[
        Path, Parameter(allow_leading_hyphen=True, help="Any audio or video file; - reads one from standard input.")
    ],
    /,
    *,
    live: Annotated[
        bool, Parameter(negative="", help="Play it through in real time and show the words as they come.")
    ] = False,
    output: Annotated[
        Path | None, Parameter(name=("--output", "-o"), help="Write a file: .txt, .srt, .vtt or .json.")
    ] = None,
    url: Annotated[str | None, Parameter(help="Use the server at this address instead of starting one.")] = None,
    api_key: Annotated[str | None, Parameter(help="The key for the server at --url. Default: HARK_API_KEY.")] = None,
    insecure: Annotated[
        bool, Parameter(negative="", help="Take whatever certificate the server at --url shows.")
    ] = False,
    model: Annotated[str | None, Parameter(help="Transcribe with this model.")] = None,
    language: Annotated[str | None, Parameter(help="The language spoken, such as en.")] = None,
    silence_ms: Annotated[int, Parameter(help="A turn ends after this much silence.")] = 500,
) -> int:
    """Print the transcript of an audio file."""
    complaints = Console(stderr=True, highlight=False)
    try:
        if url is not None:
            realtime_url(url)
        recording = _prepare(file, output)
    except CallerError as error:
        complaints.print(f"hark transcribe: {error.message}", markup=False, soft_wrap=True)
        return WRONG_USE
    turn_detection = TurnDetectionPatch(type="server_vad", silence_duration_ms=silence_ms)

    async def work() -> bool:
        async with (
            _server(url, api_key) as (address, key),
            connect(
                address,
                api_key=key,
                model=model,
                language=language,
                turn_detection=turn_detection,
                tls=trust.nobody() if insecure else trust.usual(Settings()),
            ) as client,
        ):
            return await _transcribe(client, recording, live, output, complaints)

    try:
        return 0 if asyncio.run(work()) else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except HarkError as error:
        complaints.print(f"hark transcribe: {error.message}", markup=False, soft_wrap=True)
        return FAILED


def _prepare(file: Path, output: Path | None) -> Recording:
    """Find out what can be found out before any work begins. Raises CallerError."""
    if output is not None:
        if output.suffix.lower() not in WRITERS:
            raise CallerError(f"Expected an output file that ends in {', '.join(WRITERS)}; got {str(output)!r}.")
        if not output.parent.is_dir() or output.is_dir() or not os.access(output.parent, os.W_OK):
            raise CallerError(f"Cannot write {str(output)!r}: expected a file in a folder that exists and is writable.")
    source: Path | BinaryIO = io.BytesIO(sys.stdin.buffer.read()) if str(file) == "-" else file
    length = probe(source)
    pieces = stream_audio(source)
    return Recording(chain([next(pieces)], pieces), length)


@asynccontextmanager
async def _server(url: str | None, api_key: str | None) -> AsyncIterator[tuple[str, str | None]]:
    """The address of a server, and a key that it takes."""
    if url is not None:
        set_key = Settings().api_key
        yield url, api_key or (set_key.get_secret_value() if set_key else None)
        return
    own = secrets.token_hex(16)  # nobody else has business with this server
    async with running(Settings(host="127.0.0.1", port=0, api_key=SecretStr(own), api_key_file=None)) as address:
        yield address, own


async def _transcribe(
    client: RealtimeClient, recording: Recording, live: bool, output: Path | None, complaints: Console
) -> bool:
    """Transcribe and report. Whether all went well."""
    written = False
    try:
        if live:
            await _show(client, recording)
        else:
            with _progress(client.conversation, recording, complaints):
                async for _ in stream(client, recording.pieces):
                    pass
        if output is not None:
            _write(output, client)
            written = True
    finally:
        if not live and not written:
            sys.stdout.write(to_text(client.conversation.spoken(_sent_ms(client)), _sent_ms(client)))
            sys.stdout.flush()
    if not client.conversation.spoken():
        seconds = client.sent_samples / SAMPLE_RATE
        complaints.print(f"hark transcribe: no speech was found in {seconds:.1f} s of audio.", soft_wrap=True)
    failed = [turn for turn in client.conversation.turns if turn.failed is not None]
    for turn in failed:
        complaints.print(plain_line(turn), markup=False, soft_wrap=True)
    return not failed


async def _show(client: RealtimeClient, recording: Recording) -> None:
    status = StatusLine("listening", lambda: client.sent_samples / SAMPLE_RATE, recording.length)
    with LiveView(status) as view:
        async with aclosing(stream(client, recording.pieces, pace=1.0)) as events:
            async for event in events:
                if turn := client.conversation.about(event):
                    view.show(turn)


def _progress(conversation: Conversation, recording: Recording, console: Console) -> AbstractContextManager[object]:
    """A status line while it lasts; nothing where there is no terminal."""
    if not console.is_terminal:
        return nullcontext()
    status = StatusLine("transcribing", lambda: conversation.heard_ms / 1000, recording.length)
    return Live(status, console=console, refresh_per_second=FRAMES_PER_SECOND, transient=True)


def _write(output: Path, client: RealtimeClient) -> None:
    length_ms = _sent_ms(client)
    text = WRITERS[output.suffix.lower()](client.conversation.spoken(length_ms), length_ms)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"Could not write {str(output)!r}: {error.strerror}. The transcript is printed.") from None


def _sent_ms(client: RealtimeClient) -> int:
    return client.sent_samples * 1000 // SAMPLE_RATE
