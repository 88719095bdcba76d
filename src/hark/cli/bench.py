"""`hark bench`: how many sessions a server carries, and how long their transcripts take.

Rule: a table for people on standard output, progress on standard error, JSON and pictures where they are asked for.
What is wrong with the command is found before anything is played. Refuses: to call it a result if the load generator
was late.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from hark.bench.clips import Clip, Wanted, find_clips, silero
from hark.bench.histogram import histograms, said
from hark.bench.load import Level, Limit, climb, figures, level, undecided
from hark.bench.measures import LATE_S, percentile
from hark.bench.peers import DIALECTS
from hark.bench.player import Stock, Target
from hark.bench.processes import serving
from hark.bench.protocols import Dialect, Sending
from hark.bench.ramp import Ramp
from hark.bench.schedule import Plan
from hark.cli import trust
from hark.cli.pull import pull_command
from hark.cli.serve import loop_factory
from hark.config import Settings
from hark.core.work import SAMPLE_RATE
from hark.errors import CallerError, HarkError
from hark.models.files.pull import missing, models_folder

TRANSPORTS: Final = ("websocket", "webrtc")
# What is in a message, and in a packet, if nobody says.
MESSAGE_MS: Final = 100
PACKET_MS: Final = 20
RATE: Final = 24_000
FAILED: Final = 1
WRONG_USE: Final = 2
MOST: Final = 4_096
ROWS: Final[tuple[tuple[str, Callable[[Level], Sequence[float]]], ...]] = (
    ("end of speech → speech_stopped", lambda one: one.sums.stopped),
    ("speech_stopped → completed", lambda one: one.sums.done_after_stop),
    ("end of speech → completed", lambda one: one.sums.final),
    ("speech_started → first delta", lambda one: one.sums.words_after_start),
    ("added by server and network", lambda one: one.sums.added),
)


class Asked(Struct, frozen=True):
    """The command."""

    plan: Plan
    dialect: type[Dialect]
    sending: Sending
    limit: Limit
    sessions: int | None
    start: int


class Files(Struct, frozen=True):
    json: Path | None
    svg: Path | None


def bench_command(
    folder: Annotated[Path | None, Parameter(help="Folder with clips of speech; without one, the samples.")] = None,
    /,
    *,
    url: Annotated[str | None, Parameter(help="Measure the server at this address instead of starting one.")] = None,
    api_key: Annotated[str | None, Parameter(help="The key for the server at --url. Default: HARK_API_KEY.")] = None,
    insecure: Annotated[bool, Parameter(negative="", help="Take whatever certificate the server shows.")] = False,
    protocol: Annotated[
        str, Parameter(help="What the server speaks: openai, sherpa, sherpa-offline, vosk or whisperlive.")
    ] = "openai",
    transport: Annotated[
        str, Parameter(help="How sessions are connected: websocket or, for openai, webrtc.")
    ] = "websocket",
    model: Annotated[str | None, Parameter(help="Transcribe with this model.")] = None,
    language: Annotated[str | None, Parameter(help="The language spoken, such as en.")] = None,
    sessions: Annotated[
        int | None, Parameter(help="Play this many sessions, once. Default: find the most that are carried.")
    ] = None,
    start: Annotated[int, Parameter(help="Begin the search with this many sessions.")] = 4,
    limit_ms: Annotated[int, Parameter(help="Sessions are carried while the percentile is under this.")] = 1_000,
    percentile_of: Annotated[
        float, Parameter(name="--percentile", help="The percentile of end of speech → completed that counts.")
    ] = 95,
    seconds: Annotated[float, Parameter(help="Length of each session.")] = 30,
    silence_ms: Annotated[int, Parameter(help="A turn ends after this much silence.")] = 300,
    frame_ms: Annotated[
        int | None, Parameter(help="Audio in a message, or in a packet of WebRTC. Default: 100, and 20.")
    ] = None,
    rate: Annotated[
        int | None, Parameter(help="Samples a second in messages for openai: 8000 to 48000. Default: 24000.")
    ] = None,
    jitter_ms: Annotated[int, Parameter(help="A message or packet comes late by up to this much.")] = 20,
    seed: Annotated[int, Parameter(help="Order of clips, pauses and jitter are drawn from this.")] = 0,
    kind: Annotated[str | None, Parameter(help="Take clips of this kind only, where a manifest says kinds.")] = None,
    pid: Annotated[int | None, Parameter(help="The server's process, if it runs here: for CPU and memory.")] = None,
    json_file: Annotated[Path | None, Parameter(name="--json", help="Write the figures to this file.")] = None,
    svg: Annotated[Path | None, Parameter(help="Draw histograms of the latencies into this file.")] = None,
) -> int:
    """Measure a server under load: how many sessions it carries, and how long their transcripts take."""
    console, progress = Console(highlight=False), Console(stderr=True, highlight=False)
    try:
        dialect = _dialect(protocol, transport, rate, url)
        if frame_ms is None:
            frame_ms = MESSAGE_MS if transport == "websocket" else PACKET_MS
        asked = Asked(
            Plan(seconds, SAMPLE_RATE * frame_ms // 1000, jitter_s=jitter_ms / 1000, seed=seed),
            dialect,
            Sending(model, language, silence_ms, RATE if rate is None else rate, SAMPLE_RATE * frame_ms // 1000),
            Limit(limit_ms / 1000, percentile_of / 100),
            sessions,
            start,
        )
        _check(asked)
        clips = _clips(folder, Wanted(kind=kind))
        longest = max(len(clip.audio) for clip in clips) / SAMPLE_RATE
        least = longest + asked.plan.pauses[1]
        if seconds < least:
            raise CallerError(f"Expected --seconds of at least {least:.0f}, for the longest clip; got {seconds:g}.")
    except CallerError as error:
        progress.print(f"hark bench: {error.message}", markup=False, soft_wrap=True)
        return WRONG_USE

    async def work() -> list[Level]:
        async with _server(url, api_key, pid) as (address, key, process):
            tls = trust.nobody() if insecure else trust.usual(Settings())
            target = Target(address, dialect, asked.sending, key, tls)
            return await _measure(target, Stock(clips, target), asked, process, progress)

    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            levels = runner.run(work())
    except HarkError as error:
        progress.print(f"hark bench: {error.message}", markup=False, soft_wrap=True)
        return FAILED
    return _report(levels, asked, console, progress, Files(json_file, svg))


def _dialect(protocol: str, transport: str, rate: int | None, url: str | None) -> type[Dialect]:
    """Raises CallerError."""
    if protocol not in DIALECTS:
        raise CallerError(f"Expected --protocol to be one of {', '.join(DIALECTS)}; got {protocol!r}.")
    if transport not in TRANSPORTS:
        raise CallerError(f"Expected --transport to be one of {', '.join(TRANSPORTS)}; got {transport!r}.")
    dialect: type[Dialect] = DIALECTS[protocol]
    if transport == "webrtc":
        if protocol != "openai":
            raise CallerError(f"Expected --transport webrtc with --protocol openai alone; got {protocol!r}.")
        if rate is not None:
            raise CallerError("Expected no --rate with --transport webrtc: its audio is Opus, at 48000.")
        from hark.bench.webrtc import Calls  # noqa: PLC0415 - aiortc takes half a second, and few need it

        dialect = Calls
    if protocol != "openai" and url is None:
        raise CallerError(f"Expected --url with the address of a server that speaks {protocol}.")
    if url is not None:
        dialect.url(url)
    return dialect


def _check(asked: Asked) -> None:
    """Raises CallerError."""
    plan, sending, limit = asked.plan, asked.sending, asked.limit
    for name, value, least, most in (
        ("--sessions", 1 if asked.sessions is None else asked.sessions, 1, MOST),
        ("--start", asked.start, 1, MOST),
        ("--limit-ms", 1000 * limit.seconds, 1, 60_000),
        ("--percentile", 100 * limit.share, 1, 100),
        ("--silence-ms", sending.silence_ms, 1, 10_000),
        ("--frame-ms", plan.frame_samples * 1000 / SAMPLE_RATE, 10, 1_000),
        ("--rate", sending.rate, 8_000, 48_000),
        ("--jitter-ms", 1000 * plan.jitter_s, 0, 10_000),
    ):
        if not least <= value <= most:
            raise CallerError(f"Expected {name} from {least} to {most}; got {value:g}.")
    packet_ms = plan.frame_samples * 1000 // SAMPLE_RATE
    if (allowed := asked.dialect.packets_ms) is not None and packet_ms not in allowed:
        sizes = ", ".join(map(str, allowed))
        raise CallerError(f"Expected --frame-ms to be one of {sizes} with --transport webrtc; got {packet_ms}.")


@asynccontextmanager
async def _server(
    url: str | None, api_key: str | None, pid: int | None
) -> AsyncIterator[tuple[str, str | None, int | None]]:
    """Its address, a key that it takes, and its process, if that is known."""
    if url is not None:
        set_key = Settings().api_key
        yield url, api_key or (set_key.get_secret_value() if set_key else None), pid
        return
    async with serving() as running:
        yield running.url, running.api_key, running.pid


def _clips(folder: Path | None, wanted: Wanted) -> list[Clip]:
    models = models_folder(Settings().models_dir)
    needed = ["silero-vad", *(["samples"] if folder is None else [])]
    if missing(needed, models):
        pull_command(needed)
    if folder is not None and not folder.is_dir():
        raise CallerError(f"Expected a folder with clips of speech; {str(folder)!r} is none.")
    return find_clips(folder or models / "samples", wanted, silero(models))


async def _measure(target: Target, stock: Stock, asked: Asked, pid: int | None, progress: Console) -> list[Level]:
    def tell(one: Level) -> None:
        how = "carried" if one.carried else "not counted" if one.sums.late else "too many"
        share = round(100 * asked.limit.share)
        progress.print(
            f"{one.sessions} sessions: p{share} {said(percentile(one.sums.final, asked.limit.share))}, {how}"
        )

    def play(sessions: int, *, patient: bool) -> Coroutine[Any, Any, Level]:
        return level(target, stock, asked.plan, sessions, asked.limit, pid=pid, patient=patient)

    if asked.sessions is not None:
        one = await play(asked.sessions, patient=True)
        tell(one)
        return [one]
    return await climb(lambda number: play(number, patient=False), Ramp(asked.start, MOST), tell)


def _report(levels: list[Level], asked: Asked, console: Console, progress: Console, files: Files) -> int:
    carried = [one for one in levels if one.carried]
    shown = max(carried, key=lambda one: one.sessions) if carried and asked.sessions is None else levels[-1]
    over = "" if asked.dialect.codec_delay is None else " over WebRTC"
    title = f"{shown.sessions} sessions{over}, {asked.plan.seconds:g} s each"
    console.print(_table(title, shown))
    console.print(_account(shown), soft_wrap=True)
    late = undecided(levels) if asked.sessions is None else levels[-1].sums.late
    if late:
        progress.print(
            f"hark bench: no result. The load generator was late: 1 frame in 100 left {1000 * LATE_S:.0f} ms or more "
            "after its time. Play fewer sessions, or run it on another machine.",
            soft_wrap=True,
        )
    elif asked.sessions is None:
        best = max((one.sessions for one in carried), default=0)
        share, limit = round(100 * asked.limit.share), round(1000 * asked.limit.seconds)
        most = f"[bold]{best} sessions[/] with p{share} of end of speech → completed under {limit} ms."
        console.print(f"Carried: {most}", soft_wrap=True)
    most_sessions = None if asked.sessions or late else max((o.sessions for o in carried), default=0)
    try:
        if files.json is not None:
            told = {
                "most_sessions": most_sessions,
                "transport": "websocket" if asked.dialect.codec_delay is None else "webrtc",
                "levels": [figures(one) for one in levels],
            }
            files.json.write_text(json.dumps(told, indent=2) + "\n", "utf-8")
        if files.svg is not None:
            files.svg.write_text(histograms(title, {name: of(shown) for name, of in ROWS}), "utf-8")
    except OSError as error:
        progress.print(f"hark bench: could not write {error.filename}: {error.strerror}.", markup=False, soft_wrap=True)
        return FAILED
    return FAILED if late else 0


def _table(title: str, one: Level) -> Table:
    table = Table(title=title)
    for heading in ("", "p50", "p95", "p99", "of"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, of in ROWS:
        values = of(one)
        table.add_row(name, *(said(percentile(values, share)) for share in (0.5, 0.95, 0.99)), str(len(values)))
    return table


def _account(one: Level) -> str:
    """The rest, in words."""
    sums = one.sums
    parts = [
        f"{sums.turns} turns: {sums.missed} without a transcript, {sums.failed} failed.",
        f"{sums.refused} sessions refused or ended, {sums.behind} behind real time.",
    ]
    reasons = {news.message for news in one.troubles if not news.item}
    parts += [f"The server said: {reason}" for reason in sorted(reasons)[:3]]
    if sums.words.units:
        parts.append(f"Word error rate {sums.words.rate:.1%} of {sums.words.units} words.")
    if one.cpu is not None and one.memory is not None:
        parts.append(f"Server: {one.cpu:.2f} cores, {one.memory / 1e6:.0f} MB.")
    late = percentile(sums.lateness, 0.99)
    parts.append(f"Load generator: {one.own_cpu:.2f} cores, p99 {said(late)} late.")
    return " ".join(parts)
