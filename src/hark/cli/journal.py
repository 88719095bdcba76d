"""`hark journal`: read, export and erase what `hark serve --journal` wrote down, while it runs or not.

Rule: transcripts go to standard output or into files that only their owner may read; all else goes to standard error.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hark.cli.exports import FORMS, missing, session_fields
from hark.config import Settings
from hark.errors import OperatorError
from hark.journal.records import Listed, Transcript
from hark.journal.store import Store

_AGO: Final = re.compile(r"(\d+)([dhm])")
_UNIT_S: Final = {"d": 86_400, "h": 3_600, "m": 60}
_FIRST_CHARS: Final = 60
ONE_LINE_WIDTH: Final = 120  # columns

Form: TypeAlias = Literal["text", "srt", "vtt", "json", "jsonl"]
Folder = Annotated[Path | None, Parameter(name="--journal", help="Folder of the journal, instead of HARK_JOURNAL.")]
Since = Annotated[str | None, Parameter(help="Only sessions opened since: 2026-11-21, 2026-11-21T14:30, 7d, 12h, 30m.")]
Until = Annotated[str | None, Parameter(help="Only sessions opened before, in the same forms.")]
KeyName = Annotated[str | None, Parameter(name="--key", help="Only sessions of the key with this name.")]
Form_ = Annotated[Form, Parameter(name="--format", help="text, srt, vtt, json or jsonl.")]

journal_app = App(name="journal", help="Read, export and erase the transcripts that --journal keeps.")


@journal_app.command(name="list")
def list_sessions(
    *,
    since: Since = None,
    until: Until = None,
    key: KeyName = None,
    json: Annotated[bool, Parameter(negative="", help="Print JSON, for programs.")] = False,
    journal: Folder = None,
) -> None:
    """Show the sessions that there are, the oldest first."""
    store = _store(journal)
    found = store.listed(_moment(since, "--since"), _moment(until, "--until"), key)
    if json:
        print(msgspec.json.format(msgspec.json.encode([_told(each) for each in found]), indent=2).decode())
        return
    console = Console(highlight=False)
    if console.width < ONE_LINE_WIDTH:
        _print_below(console, found)
    else:
        console.print(_table(found))
    _say(f"{len(found)} in {store.path}")


def _table(found: Sequence[Listed]) -> Table:
    """A line each."""
    table = Table(box=None, pad_edge=False)
    for title in ("session", "opened", "key", "by", "seconds", "items", "missing"):
        table.add_column(title, no_wrap=title in ("session", "opened", "by"), overflow="fold")
    table.add_column("first words", overflow="fold")
    for each in found:
        counts = (f"{each.seconds:.1f}", str(each.items), str(each.missing or ""))
        table.add_row(*_head(each), *counts, escape(_first(each)))
    return table


def _print_below(console: Console, found: Sequence[Listed]) -> None:
    """Where there is no room for all of a session on a line: an id that is cut cannot be copied."""
    rows = [("session", "opened", "key", "by"), *map(_head, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, each in zip(rows, [None, *found], strict=True):
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()]
        if each is not None:
            lost = f", {each.missing} missing" if each.missing else ""
            about = f"{each.seconds:.1f} s, items: {each.items}{lost}. {_first(each)}"
            lines += textwrap.wrap(about, console.width, initial_indent="  ", subsequent_indent="  ")
        console.print("\n".join(lines), markup=False, soft_wrap=True)


def _head(each: Listed) -> tuple[str, str, str, str]:
    session = each.session
    opened = datetime.fromtimestamp(session.opened_at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return session.id, opened, session.key_name, session.transport


def _first(each: Listed) -> str:
    return each.first[:_FIRST_CHARS] + "…" * (len(each.first) > _FIRST_CHARS)


@journal_app.command
def show(
    session: Annotated[str, Parameter(help="Its id, as hark journal list shows it.")],
    /,
    *,
    format: Form_ = "text",  # noqa: A002
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], help="Write to this file.")] = None,
    journal: Folder = None,
) -> None:
    """Show the transcript of a session, or write it to a file."""
    transcript = _found(_store(journal), session)
    text = FORMS[format][0](transcript)
    if output is None:
        sys.stdout.write(text)
    else:
        _write(output, text)
    _tell_what_is_missing(transcript)


@journal_app.command
def export(
    folder: Annotated[Path, Parameter(help="Where the files go; it is made if it is not there.")],
    /,
    *,
    format: Form_ = "text",  # noqa: A002
    since: Since = None,
    until: Until = None,
    key: KeyName = None,
    journal: Folder = None,
) -> None:
    """Write a file for each session into a folder."""
    store = _store(journal)
    found = store.listed(_moment(since, "--since"), _moment(until, "--until"), key)
    write, suffix = FORMS[format]
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise OperatorError(f"Cannot make the folder {folder}: {error.strerror}.") from error
    written = 0
    for each in found:
        transcript = store.find(each.session.id)
        if transcript is None:
            continue  # deleted meanwhile
        opened = datetime.fromtimestamp(each.session.opened_at).astimezone().strftime("%Y%m%d-%H%M%S")
        _write(folder / f"{opened}-{each.session.id}{suffix}", write(transcript))
        _tell_what_is_missing(transcript)
        written += 1
    _say(f"Files written: {written}, in {folder}")


@journal_app.command
def delete(
    sessions: Annotated[list[str], Parameter(help="Ids, as hark journal list shows them.")],
    /,
    *,
    journal: Folder = None,
) -> None:
    """Erase sessions and their transcripts."""
    store = _store(journal)
    gone = store.delete(sessions)
    _say(f"Sessions deleted: {len(gone)}, of {store.path}")
    if unknown := [each for each in sessions if each not in gone]:
        raise OperatorError(_unknown(store, ", ".join(unknown)))


@journal_app.command
def purge(
    *,
    older_than: Annotated[int, Parameter(validator=Number(gte=0), help="Days; 0 for everything.")],
    journal: Folder = None,
) -> None:
    """Erase all transcripts that are older than some days."""
    store = _store(journal)
    deleted = store.purge(time.time() - older_than * _UNIT_S["d"])
    _say(f"Items deleted: {deleted}, of {store.path}")


def _store(given: Path | None) -> Store:
    folder = given or Settings().journal
    if folder is None:
        raise OperatorError("Expected the folder of a journal: --journal FOLDER, or HARK_JOURNAL as the server has it.")
    store = Store(folder.expanduser())
    if not store.path.is_file():
        raise OperatorError(f"There is no journal {store.path}. hark serve --journal {folder} makes one.")
    return store


def _found(store: Store, session_id: str) -> Transcript:
    transcript = store.find(session_id)
    if transcript is None:
        raise OperatorError(_unknown(store, session_id))
    return transcript


def _unknown(store: Store, session_id: str) -> str:
    return f"There is no session {session_id} in {store.path}. hark journal list shows those that there are."


def _moment(text: str | None, flag: str) -> float | None:
    """In Unix seconds; times without a zone are this machine's."""
    if text is None:
        return None
    if ago := _AGO.fullmatch(text.strip()):
        return time.time() - int(ago[1]) * _UNIT_S[ago[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise OperatorError(
            f"{flag}: expected a date, a time or an age: 2026-11-21, 2026-11-21T14:30, 7d, 12h, 30m; got '{text}'."
        ) from None


def _write(path: Path, text: str) -> None:
    """Whole or not at all, for its owner alone."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OperatorError(f"Cannot write {path}: {error.strerror}.") from error


def _told(each: Listed) -> dict[str, object]:
    return {
        **session_fields(each.session),
        "items": each.items,
        "missing": each.missing,
        "seconds": each.seconds,
        "first": each.first,
    }


def _tell_what_is_missing(transcript: Transcript) -> None:
    reasons = [why for item in transcript.items if (why := missing(item))]
    if reasons:
        causes = ", ".join(sorted(set(reasons)))
        _say(f"{transcript.session.id}: items without a transcript: {len(reasons)} ({causes})")


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)
