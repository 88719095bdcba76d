"""`hark pull`: fetch model files and say what is where.

Rule: progress goes to the terminal and nowhere else, so that logs and pipes get the table alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.table import Table

from hark.config import Settings
from hark.models.catalog import installed
from hark.models.files.fetching import CACHED, Pulled
from hark.models.files.hub_table import HUB_FILES
from hark.models.files.pull import models_folder, pull, size_there
from hark.models.files.table import DEFAULTS, MODEL_FILES


def pull_command(
    names: Annotated[list[str] | None, Parameter(help="What to fetch. Without a name: what a server needs.")] = None,
    /,
    *,
    source: Annotated[
        Path | None,
        Parameter(name="--from", help="Take wheels or a copied models folder from here, not the network."),
    ] = None,
    models_dir: Annotated[Path | None, Parameter(help="Where to put them, instead of the user's cache.")] = None,
    quiet: Annotated[bool, Parameter(negative="", help="Say nothing if everything is there.")] = False,
) -> None:
    """Fetch model files, check them, and say where they are."""
    folder = models_folder(models_dir or Settings().models_dir)
    if not {*MODEL_FILES, *HUB_FILES}.issuperset(names or ()):
        installed()  # plug-ins may list files of their own
    terminal = Console(stderr=True)
    try:
        with _Bars(terminal) as bars:
            pulled = pull(names or DEFAULTS, folder, source=source, progress=bars.update)
    except KeyboardInterrupt:
        terminal.print("Stopped. The same command goes on with what came of a hub's file.", soft_wrap=True)
        raise
    if not quiet or any(item.origin != CACHED for item in pulled):
        _show(pulled, folder, Console())


class _Bars:
    """A progress bar for each file under way; nothing where there is no terminal."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, what: str, done: int | None, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=None)
        if done is not None:  # without a total the bar pulses
            self._progress.update(self._tasks[what], completed=done, total=total)


def _show(pulled: Sequence[Pulled], folder: Path, console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("name", "what", "licence"):
        table.add_column(title, overflow="fold")
    table.add_column("MB", justify="right")
    table.add_column("from", overflow="fold")
    for entry, items in groupby(pulled, key=lambda item: item.entry):
        origins = ", ".join(dict.fromkeys(item.origin for item in items))
        table.add_row(
            entry.name, entry.summary, entry.licence, f"{size_there(entry, folder) / 1e6:.1f}", escape(origins)
        )
    console.print(table)
    for item in pulled:
        if item.damaged:
            console.print(
                f"{item.member.path} was damaged (wrong checksum) and has been fetched anew.",
                soft_wrap=True,
                markup=False,
            )
    console.print(f"In {folder}", soft_wrap=True, highlight=False, markup=False)
