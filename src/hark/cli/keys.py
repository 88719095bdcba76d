"""`hark keys`: make, list and revoke the keys that clients send, and rotate the one that signs client secrets.

Rule: a key is shown once, alone on standard output, so that a script can take it; all else goes to standard error.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hark.auth.keys import create_key, revoke_key
from hark.auth.places import KeyStore, Place, rotate, store_at
from hark.auth.store import StoredKey
from hark.auth.usage import MINUTE_SAMPLES, total
from hark.config import Settings
from hark.edge.nodes import place_of
from hark.errors import OperatorError

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+")
_DAY_S: Final = 86_400

Name = Annotated[str, Parameter(help="What the key is called in lists and logs.")]
Folder = Annotated[Path | None, Parameter(name="--data-dir", help="Folder of the store, instead of the user's data.")]
Shared = Annotated[
    str | None, Parameter(name="--redis", help="Redis of several nodes, instead of a folder. HARK_REDIS does the same.")
]
AtLeastOne = Number(gte=1)

keys_app = App(name="keys", help="Make, list and revoke the keys that clients send; rotate the signing key.")


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
    audio_minutes_per_hour: Annotated[
        int | None, Parameter(validator=AtLeastOne, help="Minutes of audio that may be sent with it in an hour.")
    ] = None,
    data_dir: Folder = None,
    redis: Shared = None,
) -> None:
    """Make a key and show it, this once."""
    if not name.strip() or not name.isprintable():
        raise OperatorError(f"Expected a name of printable characters; got {name!r}.")
    origins = [_origin(text) for text in origin or ()]
    now = time.time()
    expires_at = None if expires_days is None else int(now) + expires_days * _DAY_S
    key = create_key(
        _place(data_dir, redis),
        name,
        now,
        expires_at=expires_at,
        origins=origins,
        max_sessions=max_sessions,
        audio_minutes_per_hour=audio_minutes_per_hour,
    )
    print(key)
    Console(stderr=True).print("[dim]Keep it now: it is not stored and cannot be shown again.[/]")


@keys_app.command(name="list")
def list_keys(*, data_dir: Folder = None, redis: Shared = None) -> None:
    """Show the keys that there are, without the keys themselves."""
    store = store_at(_place(data_dir, redis))
    keys, now = store.all(), time.time()
    hours = store.audio(now, [key.id for key in keys])
    table = Table(box=None, pad_edge=False)
    for title in ("name", "made", "expires", "origins", "sessions at once", "minutes an hour", "last hour", "state"):
        table.add_column(title, overflow="fold")
    for key in keys:
        expires = _day(key.expires_at) if key.expires_at else "never"
        origins = ", ".join(key.origins) or "any"
        limits = [str(limit or "any") for limit in (key.max_sessions, key.audio_minutes_per_hour)]
        used = f"{total(hours[key.id], now) / MINUTE_SAMPLES:.1f} min"
        table.add_row(escape(key.name), _day(key.created_at), expires, origins, *limits, used, _state(key, now))
    Console().print(table)
    _say(f"In {store.where}")
    _tell_if_none_is_left(store, now)


@keys_app.command
def revoke(name: Name, /, *, data_dir: Folder = None, redis: Shared = None) -> None:
    """End a key and every client secret that was minted with it, now, and its open sessions within 5 s of audio."""
    place, now = _place(data_dir, redis), time.time()
    revoke_key(place, name, now)
    _say(f"The key '{name}' is revoked.")
    _tell_if_none_is_left(store_at(place), now)


@keys_app.command(name="rotate")
def rotate_command(
    *,
    drop_old: Annotated[
        bool, Parameter(negative="", help="Let no former key verify any more: every client secret ends now.")
    ] = False,
    data_dir: Folder = None,
    redis: Shared = None,
) -> None:
    """Sign client secrets with a new key from now on. Running servers take it up; open sessions go on."""
    done = rotate(_place(data_dir, redis), time.time(), drop_old=drop_old)
    if done.first:
        _say(f"There was no signing key. The first one is made, in {done.where}")
        return
    _say("A new signing key signs from now on.")
    if done.kept_until is not None:
        until = datetime.fromtimestamp(done.kept_until, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        _say(f"Former keys that still verify: {done.kept}, until {until}; what they signed has expired by then.")
    if done.dropped:
        _say(f"Former keys dropped: {done.dropped}." + (" Every client secret from before is void." * drop_old))
    _say(f"In {done.where}")


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


def _tell_if_none_is_left(store: KeyStore, now: float) -> None:
    """A server does not open itself by losing its keys; whoever looks here should know."""
    keys = store.all()
    if not keys:
        _say(
            "No key was ever made here: without HARK_API_KEY, a server takes any credential or none, from this machine."
        )
    elif all(_state(key, now) != "in use" for key in keys):
        _say(
            "No key of these is in use, and a credential is still required: `hark keys create` makes one, and "
            f"HARK_API_KEY is another. To serve without keys again, stop the server and {store.emptied}"
        )


def _place(folder: Path | None, redis: str | None) -> Place:
    given: dict[str, Any] = {"data_dir": folder, "redis": redis}
    return place_of(Settings(**{name: value for name, value in given.items() if value is not None}))


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
