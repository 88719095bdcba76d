"""For which request and session a piece of code runs: what the log adds to its lines, and where a refusal is noted.

Rule: one record a request, made by the outermost layer (edge/requests.py). Tasks that are started meanwhile have the
same one, so a call's lines say which call it is after its offer was answered. Where there is none, nothing happens.
"""

from __future__ import annotations

from contextvars import ContextVar


class Known:
    """Of one request. `error`: the code of what was said to be wrong with it last. `trace`: what its spans hang on."""

    __slots__ = ("call_id", "error", "request_id", "session_id", "trace")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.session_id: str | None = None
        self.call_id: str | None = None
        self.error: str | None = None
        self.trace: object | None = None

    def ids(self) -> dict[str, str]:
        named = {"request_id": self.request_id, "session_id": self.session_id, "call_id": self.call_id}
        return {name: value for name, value in named.items() if value is not None}


_known: ContextVar[Known | None] = ContextVar("hark_known", default=None)


def begin(request_id: str) -> Known:
    """From here on, in this task and in those that it starts."""
    known = Known(request_id)
    _known.set(known)
    return known


def current() -> Known | None:
    return _known.get()


def opened(session_id: str, call_id: str | None) -> None:
    """The request opens this session."""
    if (known := _known.get()) is not None:
        known.session_id, known.call_id = session_id, call_id


def failed(code: str) -> None:
    """The request is told of this."""
    if (known := _known.get()) is not None:
        known.error = code
