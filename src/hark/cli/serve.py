"""`hark serve`: the server in a terminal, from the check of its files to Ctrl-C.

Rule: what can be wrong before serving is said before serving. Standard output is for people; the log goes to stderr.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import FrameType

from pydantic import SecretStr
from rich.console import Console

from hark.app import running
from hark.cli.pull import pull_command
from hark.cli.reload import Reload, hangups, level_of
from hark.cli.selfcheck import self_check_at
from hark.cli.strays import strays
from hark.cli.supervisor import supervised
from hark.config import Settings
from hark.edge.door import allow_descriptors
from hark.edge.nodes import keys_of
from hark.edge.renewal import Renewal
from hark.errors import HarkError
from hark.models.catalog import configured, installed
from hark.models.choice import Choice
from hark.models.files.pull import missing, models_folder
from hark.telemetry import logs

log = logging.getLogger("hark.serve")


def serve_command(settings: Settings, *, self_check: bool, read: Callable[[], Settings] = Settings) -> None:
    """Serve until a signal. `read` gives the settings anew, as they are then. Raises HarkError if the server cannot
    start."""
    given = settings
    set_up_log(settings)
    for stray in strays(settings):
        log.warning("%s", stray)
    allow_descriptors()
    has_keys = keys_of(settings).required
    settings.check(has_keys=has_keys)
    if has_keys and settings.api_key is None and self_check:  # which needs a key too, and nobody else learns it
        settings = settings.model_copy(update={"api_key": SecretStr(secrets.token_hex(16))})
    catalog = configured(installed(), settings)
    settings = settings.model_copy(update={"model": catalog.engine.spec.name})  # every worker takes the same
    needed = [*catalog.files(), *(["samples"] if self_check else [])]
    if missing(needed, models_folder(settings.models_dir)):
        pull_command(needed, models_dir=settings.models_dir)
    pull_if_possible(catalog.optional_files(), settings)
    # A supervisor starts processes, for which asyncio's own loop is the plain way.
    with asyncio.Runner(loop_factory=loop_factory() if settings.workers == 1 else None) as runner:
        runner.run(_serve(settings, catalog.choice, Reload(read, given, settings), self_check=self_check))


def set_up_log(settings: Settings, gateway: int | None = None) -> None:
    """To stderr; the lines of one of several gateways say its number. What must not stand there: discreet.py."""
    logs.set_up(level_of(settings), logs.Style(settings.log_format, gateway), settings.secrets())


def pull_if_possible(names: list[str], settings: Settings) -> None:
    """A machine without a network may lack what a server can do without."""
    if not missing(names, models_folder(settings.models_dir)):
        return
    try:
        pull_command(names, models_dir=settings.models_dir)
    except HarkError as error:
        log.warning("serving without %s: %s", ", ".join(names), error)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it exists; Windows has none and keeps its own."""
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(settings: Settings, choice: Choice | None, reload: Reload, *, self_check: bool) -> None:
    console = Console(highlight=False)
    with until_signal(signal.SIGINT, signal.SIGTERM) as stop, hangups(stop) as hangup:
        async with _opened(settings) as (url, hush, take):
            reloading = asyncio.create_task(reload.serve(hangup, take))
            several = f", {settings.workers} workers" if settings.workers > 1 else ""
            several += "" if settings.engines_here else f", which runs at {settings.compute}"
            console.print(
                f"[bold]Hark[/] listens at [bold cyan]{url}[/] with {settings.model}{several}. Ctrl-C stops it.",
                soft_wrap=True,
            )
            if choice is not None:
                console.print(f"[dim]{choice.name} is {choice.why}. --model takes another.[/]", soft_wrap=True)
            if settings.journal is not None:
                days = settings.journal_days
                until = "until they are deleted" if days is None else f"for {days} days"
                console.print(f"Transcripts are kept in {settings.journal}, {until}.", markup=False, soft_wrap=True)
            has_keys = keys_of(settings).required
            if not has_keys and not settings.open_to_strangers:
                console.print("[dim]No key is set: only this machine and pages served from it may connect.[/]")
            elif not has_keys:
                console.print("[yellow]No key is set, and other machines may connect: anyone who can may use it.[/]")
            checking = asyncio.create_task(_check(url, settings, console, hush)) if self_check else None
            await stop.wait()
            beside = [reloading, *([checking] if checking else [])]
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            console.print("\nStopping.")


@contextlib.asynccontextmanager
async def _opened(
    settings: Settings,
) -> AsyncIterator[tuple[str, Callable[[bool], None], Callable[[Settings], Awaitable[None]]]]:
    """The base URL of the server, in this process or in several, how to hush what is logged of its sessions, and how to
    change what it is set to."""
    if settings.workers > 1:
        async with supervised(settings) as supervisor:
            yield supervisor.url, supervisor.hush, supervisor.renew
        return
    renewal = Renewal()

    async def take(anew: Settings) -> None:
        renewal.prepare(anew)()

    async with running(settings, renewal=renewal) as url:
        collect_seldom()
        yield url, hush_sessions, take


def hush_sessions(on: bool) -> None:
    logging.getLogger("hark.session").setLevel(logging.WARNING if on else logging.NOTSET)


def collect_seldom() -> None:
    """Sessions wait while garbage is looked for. Each leaves a little that only this finds, and that lived long: so all
    that is not frozen is looked through now and then, which takes some milliseconds."""
    gc.collect()
    gc.freeze()  # what stands until the end is not looked through again
    gc.set_threshold(5_000, 4, 4)


async def _check(url: str, settings: Settings, console: Console, hush: Callable[[bool], None]) -> None:
    """The self-check, with the log of its session kept out of the transcript."""
    hush(True)
    try:
        await self_check_at(url, settings, console)
    finally:
        hush(False)


@contextlib.contextmanager
def until_signal(*numbers: signal.Signals) -> Iterator[asyncio.Event]:
    """An event that these set; a second one does as usual."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    before = {each: signal.getsignal(each) for each in numbers}

    def restore() -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    def on_signal(number: int, frame: FrameType | None) -> None:
        restore()
        loop.call_soon_threadsafe(stop.set)

    for each in before:
        signal.signal(each, on_signal)  # not the loop's own way, which Windows lacks
    try:
        yield stop
    finally:
        restore()
