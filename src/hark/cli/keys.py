"""`hark keys`: make, list and revoke the keys that clients send.

Rule: a key is shown once, alone on standard output, so that a script can take it; all else goes to standard error.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hark.auth.keys import create_key, revoke_key
from hark.auth.store import Store, StoredKey
from hark.config import Settings
from hark.errors import OperatorError

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+")
_DAY_S: Final = 86_400

Name = Annotated[str, Parameter(help="What the key is called in lists and logs.")]
Folder = Annotated[Path | None, Parameter(name="--data-dir", help="Folder of the store, instead of the user's data.")]
AtLeastOne = Number(gte=1)

keys_app = App(name="keys", help="Make, list and revoke the keys that clients send.")


@keys_app.command
def create(
    name: Name,
    /,
    *,
    expires_days: Annotated[
        int | None, Parameter(validator=AtLeastOne, help="The key and its client secrets end after this many days.")
    ] = None,
    origin: Annotated[
        list[str] | None,
        Parameter(negative="", help="Pages that may use it, such as https://app.example; may be given repeatedly."),
    ] = None,
    max_sessions: Annotated[
        int | None, Parameter(validator=AtLeastOne, help="Sessions that may be open with it at once.")
    ] = None,
    data_dir: Folder = None,
) -> None:
    """Make a key and show it, this once."""
    if not name.strip() or not name.isprintable():
        raise OperatorError(f"Expected a name of printable characters; got {name!r}.")
    origins = [_origin(text) for text in origin or ()]
    now = time.time()
    expires_at = None if expires_days is None else int(now) + expires_days * _DAY_S
    key = create_key(_folder(data_dir), name, now, expires_at=expires_at, origins=origins, max_sessions=max_sessions)
    print(key)
    Console(stderr=True).print("[dim]Keep it now: it is not stored and cannot be shown again.[/]")


@keys_app.command(name="list")
def list_keys(*, data_dir: Folder = None) -> None:
    """Show the keys that there are, without the keys themselves."""
    store = Store(_folder(data_dir))
    now = time.time()
    table = Table(box=None, pad_edge=False)
    for title in ("name", "made", "expires", "origins", "sessions at once", "state"):
        table.add_column(title, overflow="fold")
    for key in store.all():
        expires = _day(key.expires_at) if key.expires_at else "never"
        origins = ", ".join(key.origins) or "any"
        table.add_row(
            escape(key.name), _day(key.created_at), expires, origins, str(key.max_sessions or "any"), _state(key, now)
        )
    Console().print(table)
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"In {store.path}", markup=False)


@keys_app.command
def revoke(name: Name, /, *, data_dir: Folder = None) -> None:
    """End a key and every client secret that was minted with it, now. Open sessions go on."""
    revoke_key(_folder(data_dir), name, time.time())
    Console(stderr=True, highlight=False).print(f"The key '{name}' is revoked.", markup=False)


def _folder(given: Path | None) -> Path:
    return (Settings() if given is None else Settings(data_dir=given)).data_folder


def _origin(text: str) -> str:
    origin = text.strip().rstrip("/").lower()
    if not _ORIGIN.fullmatch(origin):
        raise OperatorError(f"Expected an origin, scheme and host, such as https://app.example; got {text!r}.")
    return origin


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _state(key: StoredKey, now: float) -> str:
    if key.revoked_at is not None:
        return f"revoked {_day(key.revoked_at)}"
    return "expired" if key.expires_at is not None and now >= key.expires_at else "in use"
