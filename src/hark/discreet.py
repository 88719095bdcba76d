"""What a log may say of an error: its kind and where it happened, and its words only where they cannot be somebody's.

An exception's text is made of whatever was at hand: a transcript, a key, the audio. A traceback's last line shows it,
and so does the repr that asyncio puts into its own messages. So the frames are shown, which are code, and of the words
those that Hark wrote (HarkError), the operating system did, or the interpreter did about code.

Rule: whatever a server writes to its log or its standard error goes through here, at every level.
Debugging is for Hark's own loggers: of libraries nothing below INFO is shown, since some of them show what they carry.
The operator's own keys are taken out of every line, whoever wrote it.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hark.errors import HarkError

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger("hark.fault")

LEFT_OUT: Final = "(its words are left out: they may be somebody's)"
# What the interpreter itself says of code that is wrong names types and names, never values.
_ABOUT_CODE: Final = (AttributeError, NameError, ImportError, TypeError, RecursionError, MemoryError, ZeroDivisionError)
_DEEPEST: Final = 8
# A shorter secret would take words out of every line.
_SHORTEST: Final = 6
_MESSAGE: Final = re.compile(r"[\w .:,'-]+")
# uvicorn's lines show the query, where a key may stand; aioice's, several for each call, the addresses of clients.
_CHATTY: Final = ("websockets", "asyncio", "uvicorn", "aioice", "aiortc")

_Raised: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)  # as logging has it


def is_secret(option: str) -> bool:
    """Whether an option of a model, by its name, holds what nobody may read."""
    return any(part in option.casefold() for part in ("key", "token", "secret", "password"))


def words(error: BaseException) -> str:
    """What may be shown of its text; "" if it has none."""
    if isinstance(error, HarkError):
        return error.message
    if isinstance(error, OSError):
        return error.strerror or ""
    if isinstance(error, _ABOUT_CODE):
        return str(error)
    return LEFT_OUT if error.args else ""


def trace(error: BaseException) -> str:
    """The traceback as Python shows it, causes first, but for what must not be shown."""
    return "\n".join(_lines(error, 0))


def _lines(error: BaseException, depth: int) -> Iterator[str]:
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and depth < _DEEPEST:
        yield from _lines(before, depth + 1)
        yield "\nand of that, or while that was dealt with:\n"
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):"
        yield "".join(traceback.format_tb(error.__traceback__)).rstrip("\n")
    yield f"{type(error).__module__}.{type(error).__qualname__}: {words(error)}".removeprefix("builtins.")
    if isinstance(error, BaseExceptionGroup) and depth < _DEEPEST:
        for one in error.exceptions:
            yield from _lines(one, depth + 1)


class Discreet(logging.Formatter):
    """A formatter that keeps to this, whatever its format. `secrets`: what no line may hold."""

    def __init__(self, form: str | None = None, *, secrets: Iterable[str] = ()) -> None:
        super().__init__(form)
        self._secrets = sorted({each for each in secrets if len(each) >= _SHORTEST}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # another formatter may have left its own there
        return self.mask(super().format(record))

    def mask(self, line: str) -> str:
        """Without the secrets."""
        for secret in self._secrets:
            line = line.replace(secret, "***")
        return line

    def formatException(self, ei: _Raised) -> str:  # noqa: N802 - logging's name
        return trace(ei[1]) if ei[1] is not None else ""


def set_up(level: int, formatter: logging.Formatter) -> None:
    """Let the process log to stderr, and let nothing that fails in it say more than that."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for former in root.handlers[:]:
        root.removeHandler(former)
    root.addHandler(handler)
    set_level(level)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    sys.excepthook = _uncaught
    sys.unraisablehook = _unraisable
    threading.excepthook = _lost_thread


def set_level(level: int) -> None:
    """From which level on lines are written: Hark's own; of others never those for debugging, which quote anything."""
    logging.getLogger().setLevel(max(level, logging.INFO))
    logging.getLogger("hark").setLevel(level)


def on_loop(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """For `loop.set_exception_handler`: what asyncio would say, without the reprs of what it was about."""
    what = _MESSAGE.match(str(context.get("message") or ""))  # behind it stand the arguments of a callback
    error = context.get("exception")
    log.error(
        "%s", what[0].strip() if what else "a fault", exc_info=error if isinstance(error, BaseException) else None
    )


def _uncaught(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, where)
        return
    log.critical("the program ends by a fault", exc_info=error)


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    if unraisable.exc_value is not None:
        log.error("a fault that nobody could be told of", exc_info=unraisable.exc_value)


def _lost_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        log.error("a thread ended by a fault", exc_info=args.exc_value)
