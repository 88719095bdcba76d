"""The process that runs an engine: `python -m hark.compute.process_main FD`, started by process.py and by nobody else.

Rule: it lives as long as the socket it was given. A terminal's Ctrl-C, its end, and a service manager's SIGTERM reach
it too, and are left to the server, which may want the last transcripts. It steps back for the server: the loop that
carries all sessions needs its core at once, an engine needs many for long. And if memory runs out, it is the one to go,
by the kernel's choice or its own, for the server starts another and loses nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

from hark import discreet
from hark.compute.process_wire import (
    ALIVE_EVERY_S,
    HINTS,
    Alive,
    Broke,
    Hear,
    Heard,
    Ready,
    Start,
    encoded,
    question,
    receive_audio,
)
from hark.errors import HarkError, OperatorError
from hark.models.base import Engine, EngineModel, LoadOptions, Utterance
from hark.telemetry import logs

NICER: Final = 2
FIRST_TO_GO: Final = "500"  # of 1,000, in the kernel's choice of whom it ends when memory runs out
EX_MEMORY: Final = 71  # EX_OSERR of sysexits.h
# What runtimes say in errors of their own: onnxruntime's arena, C++'s new, CUDA under PyTorch and CTranslate2.
NO_MEMORY: Final = ("Failed to allocate memory", "bad_alloc", "out of memory")
log = logging.getLogger("hark.compute")


def main() -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    os.dup2(2, 1)  # libraries that print must not disturb what the server prints
    _step_back()
    with socket.socket(fileno=int(sys.argv[1])) as wire, contextlib.suppress(EOFError, OSError):
        Engineer(wire).work()


class Engineer:
    """Answers over this wire until it closes."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire
        self._speaking = threading.Lock()
        self._working = threading.Event()
        threading.Thread(target=self._tell_of_life, daemon=True).start()

    def work(self) -> NoReturn:
        """Raises EOFError or OSError when the server is gone."""
        start = question(self._wire)
        assert isinstance(start, Start)
        told = [str(value) for name, value in start.options.items() if discreet.is_secret(name)]
        logs.set_up(start.level, start.log if start.log.form == "json" else logs.Style(), told)
        with self._answering("could not be loaded") as broke:
            model: EngineModel = pickle.loads(start.model)  # noqa: S301  (the server's own)
            granted = LoadOptions(Path(start.folder), start.threads, start.options)
            name, engine = model.spec.name, model.load(granted)
        if broke:
            self._say(encoded(broke[0]))
            raise EOFError
        _hand_back_memory()
        close = getattr(engine, "close", None)
        try:
            self._say(encoded(Ready(closes=close is not None)))
            while True:
                self._hear(name, engine)
        finally:
            if close is not None:
                close()

    def _hear(self, name: str, engine: Engine) -> None:
        asked = question(self._wire)
        assert isinstance(asked, Hear)
        batch = [
            Utterance(receive_audio(self._wire, said.samples), *(getattr(said, hint) for hint in HINTS))
            for said in asked.batch
        ]
        with self._answering(f"model {name} failed on a request") as broke:
            answer = encoded(Heard(list(engine.transcribe(batch))))  # here, as it may hold what cannot be sent
        self._say(encoded(broke[0]) if broke else answer)

    @contextlib.contextmanager
    def _answering(self, fault: str) -> Iterator[list[Broke]]:
        """Alive is said meanwhile; what goes wrong is logged unless it is said, and stands in the list."""
        broke: list[Broke] = []
        self._working.set()
        try:
            yield broke
        except HarkError as error:
            broke.append(Broke(error.message, isinstance(error, OperatorError), ours=True))
        except Exception as error:
            if _out_of_memory(error):
                log.error("%s, for lack of memory; its process ends, and the next begins anew: %s", fault, error)
                os._exit(EX_MEMORY)
            log.exception("%s", fault)
            broke.append(Broke(str(error)))
        finally:
            self._working.clear()

    def _say(self, answer: bytes) -> None:
        with self._speaking:
            self._wire.sendall(answer)

    def _tell_of_life(self) -> None:
        while self._working.wait():
            time.sleep(ALIVE_EVERY_S)
            if self._working.is_set():
                try:
                    self._say(encoded(Alive()))
                except OSError:  # the server is gone, and an engine may take long to notice
                    os._exit(1)


def _out_of_memory(error: Exception) -> bool:
    """A process that has met this may meet it with every request that follows."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in NO_MEMORY)


def _step_back() -> None:
    with contextlib.suppress(OSError):
        os.nice(NICER)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO, "utf-8")


def _hand_back_memory() -> None:
    """What loading took and needs no more: a quarter of what a Moonshine holds. glibc keeps it otherwise."""
    with contextlib.suppress(OSError, AttributeError):
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    main()
