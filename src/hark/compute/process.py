"""An engine in a process of its own, seen from the server: an Engine like any other, that may be killed at any moment.

Why: Python's lock. An engine that decodes token by token in the server's process takes the lock from the loop which
carries all sessions; and a crash of its native code takes the server along.

Rule: who calls `transcribe` waits for the process, and nobody else does. Audio stays with the caller, so a batch that
was lost with its process can be sent again (worker.py does); the next call starts another process. A process that is
silent for SILENT_S is stopped or swapped out, and counts as lost; it is ended, as is one that works on after
everybody has given up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from typing import Final

from hark.compute import process_wire as wire
from hark.core.work import Hypothesis
from hark.errors import HarkError, ModelError, OperatorError
from hark.models.base import EngineModel, LoadOptions, Utterance
from hark.telemetry import logs
from hark.telemetry.models import Model as Notes
from hark.telemetry.models import unread

START_S: Final = 60.0  # until its first sign of life: a slow disk may have a thousand files to read
LOAD_S: Final = 600.0  # for a large model on a slow disk; what takes longer never ends
SILENT_S: Final = 10.0
GIVEN_UP_S: Final = 90.0  # a session waits 60 s for a transcript, and does so from before this
END_S: Final = 2.0
BUFFER_BYTES: Final = 1 << 20

log = logging.getLogger("hark.compute")


def can_run_apart() -> bool:
    """Whether this system hands a socket to a process that it starts. Windows does not."""
    return os.name == "posix"


class EngineLostError(ModelError):
    """The process ended, or had to be ended, while it worked. The same request may work when sent again."""

    deadly = True


class EngineProcess:
    """Runs `model.load(options)` elsewhere, at once. Raises OperatorError or ModelError if it cannot be loaded.

    Called by one thread at a time.
    """

    def __init__(self, model: EngineModel, options: LoadOptions, notes: Notes | None = None) -> None:
        self._name = model.spec.name
        self._notes = notes or unread(self._name)
        self._options = options
        try:
            self._model = pickle.dumps(model)
        except Exception as error:
            raise ModelError(
                f"The model '{self._name}' cannot be sent to a process of its own: {error}. Its load has to be a "
                "class or function of a module, or its ModelSpec has to say own_process=False."
            ) from error
        self._closed = False
        self._working = False
        self._child = self._begin()

    @property
    def pid(self) -> int:
        return self._child.pid

    def transcribe(self, batch: Sequence[Utterance]) -> list[Hypothesis]:
        """Raises EngineLostError if the process was lost, ModelError if the engine failed."""
        if self._closed:
            raise ModelError(f"The model '{self._name}' is no longer in use.")
        if self._child.gone:
            self._child = self._begin()
        asked = [wire.Said(len(u.audio), *(getattr(u, hint) for hint in wire.HINTS)) for u in batch]
        until = time.monotonic() + GIVEN_UP_S
        self._working = True
        try:
            wire.send(self._child.wire, wire.Hear(asked), [u.audio for u in batch])
            answer = self._child.answer(until)
        except (OSError, EOFError) as error:
            raise self._lost(error, time.monotonic() >= until) from error
        finally:
            self._working = False
        match answer:
            case wire.Heard(hypotheses):
                return hypotheses
            case wire.Broke(message, ours=True):
                raise ModelError(message)
            case _:
                raise ModelError(f"The model '{self._name}' failed on this audio.")

    def close(self) -> None:
        """End the process; from any thread, and more than once if need be. What runs in it fails; an engine that is
        at rest is closed first."""
        self._closed = True
        if not self._working:
            self._child.leave()
        self._child.end()

    def _begin(self) -> _Child:
        child = _Child()
        level = logging.getLogger("hark").getEffectiveLevel()
        try:
            granted = self._options
            start = wire.Start(
                self._model, str(granted.folder), granted.threads, dict(granted.options), level, logs.style()
            )
            wire.send(child.wire, start)
            answer = child.answer(time.monotonic() + LOAD_S)
        except (OSError, EOFError) as error:
            raise ModelError(
                f"The process of the model '{self._name}' {child.end(error)} while it loaded. "
                "Its log says more; another model can be named with --model."
            ) from error
        match answer:
            case wire.Ready(closes):
                child.closes = closes
                child.wire.settimeout(SILENT_S)
                self._notes.started()
                return child
            case wire.Broke(message, operator, ours):
                child.end()
                failure: type[HarkError] = OperatorError if operator else ModelError
                raise failure(message if ours else f"Model '{self._name}' did not load: {message}")
            case _:
                child.end()
                raise ModelError(f"The process of the model '{self._name}' said what it was not asked.")

    def _lost(self, error: Exception, given_up: bool) -> ModelError:
        if self._closed:
            return ModelError(f"The model '{self._name}' is no longer in use.")
        self._notes.lost("slow" if given_up else "silent" if isinstance(error, TimeoutError) else "ended")
        fate = "took too long over a request and was ended" if given_up else self._child.end(error)
        self._child.end()
        log.warning("the process of model %s %s; the next request starts another", self._name, fate)
        lost = ModelError if given_up else EngineLostError
        return lost(f"The process of the model '{self._name}' {fate}.")


class _Child:
    """One process and our end of its wire. `closes`: its engine wants to be told that nobody needs it any more."""

    closes = False

    def __init__(self) -> None:
        self.wire, theirs = socket.socketpair()
        for end in (self.wire, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        self.wire.settimeout(START_S)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  (this very program)
                [sys.executable, "-P", "-m", "hark.compute.process_main", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        # A process that is stopped does not see that its server has gone.
        self._ending = weakref.finalize(self, _end, self._process, self.wire)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def gone(self) -> bool:
        return not self._ending.alive or self._process.poll() is not None

    def answer(self, until: float = float("inf")) -> wire.Answer:
        """The next that is more than a sign of life. Raises EOFError, OSError or TimeoutError."""
        while isinstance(answer := wire.answer(self.wire), wire.Alive):
            if time.monotonic() > until:
                raise TimeoutError
        return answer

    def leave(self) -> None:
        """Have an engine that wants to be closed be so, for END_S at most."""
        if self.closes and not self.gone:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                self.wire.shutdown(socket.SHUT_WR)
                self._process.wait(END_S)

    def end(self, error: Exception | None = None) -> str:
        """End it; returns what has become of it, by the error that was met, for people."""
        silent = isinstance(error, TimeoutError)
        if error is not None and not silent:
            try:
                self._process.wait(END_S)  # a wire closes a moment before its process is gone
            except subprocess.TimeoutExpired:
                silent = True
        self._ending()
        code = self._process.wait()  # another thread may be at its end, too
        if silent:
            return "gave no sign of life"
        return f"was ended by signal {-code}" if code < 0 else f"ended with exit status {code}"


def _end(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
    process.kill()  # first, so that who waits for its answer learns of it
    process.wait()
    connection.close()
