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
import sys
from collections.abc import Callable, Iterator
from types import FrameType

from pydantic import SecretStr
from rich.console import Console

from hark.app import keys_of, running
from hark.cli.pull import pull_command
from hark.cli.selfcheck import self_check_at
from hark.config import Settings
from hark.errors import HarkError
from hark.models.catalog import configured, installed
from hark.models.pull import missing, models_folder

log = logging.getLogger("hark.serve")


def serve_command(settings: Settings, *, self_check: bool) -> None:
    """Serve until a signal. Raises HarkError if the server cannot start."""
    logging.basicConfig(
        level=settings.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for chatty in ("websockets", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    has_keys = keys_of(settings).required
    settings.check(has_keys=has_keys)
    if has_keys and settings.api_key is None and self_check:  # which needs a key too, and nobody else learns it
        settings = settings.model_copy(update={"api_key": SecretStr(secrets.token_hex(16))})
    catalog = configured(installed(), settings)
    needed = [*catalog.files(), *(["samples"] if self_check else [])]
    if missing(needed, models_folder(settings.models_dir)):
        pull_command(needed, models_dir=settings.models_dir)
    pull_if_possible(catalog.optional_files(), settings)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(settings, self_check=self_check))


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


async def _serve(settings: Settings, *, self_check: bool) -> None:
    console = Console(highlight=False)
    with _until_signal() as stop:
        async with running(settings) as url:
            _collect_seldom()
            console.print(
                f"[bold]Hark[/] listens at [bold cyan]{url}[/] with {settings.model}. Ctrl-C stops it.", soft_wrap=True
            )
            has_keys = keys_of(settings).required
            if not has_keys and not settings.open_to_strangers:
                console.print("[dim]No key is set: only this machine and pages served from it may connect.[/]")
            elif not has_keys:
                console.print("[yellow]No key is set, and other machines may connect: anyone who can may use it.[/]")
            checking = asyncio.create_task(_check(url, settings, console)) if self_check else None
            await stop.wait()
            if checking is not None:
                checking.cancel()
                await asyncio.gather(checking, return_exceptions=True)
            console.print("\nStopping.")


def _collect_seldom() -> None:
    """Sessions wait while garbage is looked for, and they leave next to none: their memory is free when they end."""
    gc.collect()
    gc.freeze()  # what stands until the end is not looked through again
    gc.set_threshold(5_000, 20, 20)


async def _check(url: str, settings: Settings, console: Console) -> None:
    """The self-check, with the log of its session kept out of the transcript."""
    sessions = logging.getLogger("hark.session")
    sessions.setLevel(logging.WARNING)
    try:
        await self_check_at(url, settings, console)
    finally:
        sessions.setLevel(logging.NOTSET)


@contextlib.contextmanager
def _until_signal() -> Iterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set; a second Ctrl-C interrupts as usual."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

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
