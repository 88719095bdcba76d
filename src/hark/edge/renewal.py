"""Settings that change while the server runs.

Theory. An application is made anew around what lasts: models, calls, counts, keys. Who comes from then on meets the new
one; sessions that are open go on in the one that they began in. All that can fail is done before anything is changed.

Rule: all of it or nothing. What is prepared changes nothing yet, and what applies it cannot fail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from starlette.types import ASGIApp, Receive, Scope, Send

from hark.config import Settings

Apply: TypeAlias = Callable[[], None]
Prepare: TypeAlias = Callable[[Settings], Apply]


class Front:
    """Whichever `app` there is now."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class Renewal:
    """The way to a server's composition root. What is applied before that stands is applied as soon as it does."""

    def __init__(self) -> None:
        self._prepare: Prepare | None = None
        self._early: Settings | None = None

    def attach(self, prepare: Prepare) -> None:
        """The server stands. Raises HarkError if what came early cannot be."""
        self._prepare = prepare
        if self._early is not None:
            prepare(self._early)()

    def prepare(self, settings: Settings) -> Apply:
        """Raises HarkError where they cannot be served with, and then nothing has changed."""
        if self._prepare is not None:
            return self._prepare(settings)

        def keep() -> None:
            self._early = settings

        return keep
