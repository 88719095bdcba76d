"""The log: lines for people, or a JSON object a line for machines.

Rule: a line of JSON says when, how bad, who and what, and of which request, session, call and gateway as far as that is
known: by `extra`, by the task that it runs in, or because an id stands among what the line is made of. An exception is
its kind and where it came from. What it said is left out, as that may quote a client, and so are local variables; what
the system said of a file or a socket, and what we say to who runs the server, stays.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from msgspec import Struct, json

from hark import discreet
from hark.errors import OperatorError
from hark.telemetry import context

Form: TypeAlias = Literal["text", "json"]
_IDS: Final = {"sess": "session_id", "req": "request_id", "rtc": "call_id"}
_ID: Final = re.compile(r"(sess|req|rtc)_[0-9a-f]{8,64}")
_FIELDS: Final = (*_IDS.values(), "gateway")


class Style(Struct, frozen=True):
    """How this process writes its log; `gateway`: its number, if it is one of several."""

    form: Form = "text"
    gateway: int | None = None


_style = Style()


def style() -> Style:
    return _style


def set_up(level: int, style: Style, secrets: Iterable[str] = ()) -> None:
    """Write the log to stderr from now on. What no line may hold: discreet.py, and `secrets`."""
    global _style  # noqa: PLW0603 - as logging's own set-up is one of the process
    _style = style
    if style.form == "json":
        discreet.set_up(level, JsonLines(style.gateway, secrets))
        logging.captureWarnings(True)  # which would be written to stderr as text
        return
    mark = "" if style.gateway is None else f"[{style.gateway}] "
    discreet.set_up(level, discreet.Discreet(f"%(asctime)s %(levelname)s {mark}%(name)s: %(message)s", secrets=secrets))


class JsonLines(discreet.Discreet):
    """A record as one line of JSON (RFC 8259), its time in UTC (RFC 3339)."""

    def __init__(self, gateway: int | None = None, secrets: Iterable[str] = ()) -> None:
        super().__init__(secrets=secrets)
        self._gateway = gateway

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": when.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._known(record),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = told(record.exc_info[1])
        return self.mask(json.encode(line).decode())

    def _known(self, record: logging.LogRecord) -> dict[str, object]:
        found: dict[str, object] = {} if self._gateway is None else {"gateway": self._gateway}
        if (known := context.current()) is not None:
            found |= known.ids()
        for value in record.args if isinstance(record.args, tuple) else ():
            if isinstance(value, str) and (id_ := _ID.fullmatch(value)):
                found[_IDS[id_[1]]] = value
        return found | {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}


def told(error: BaseException) -> str:
    """An exception and what led to it, without what it quotes."""
    parts: list[str] = []
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        frames = [
            f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(at.__traceback__)
        ]
        parts.append("\n".join([_named(at), *frames]))
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return "\nby ".join(parts)


def _named(error: BaseException) -> str:
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    if isinstance(error, OperatorError):
        return f"{kind}: {error.message}"
    if isinstance(error, OSError) and error.strerror:
        return f"{kind}: {error.strerror}"
    return kind
