"""Engines for processes of their own, which can import this module: each shows one habit."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from hark.core.work import Hypothesis, Token
from hark.errors import ModelError, OperatorError
from hark.models.base import EngineModel, ModelSpec

POISON = 0.75  # as the first sample of audio


def said(text):
    return Hypothesis((Token(f" {text}", -0.25, 160, 320), Token(".")), language="en", cut=True, draft=(3, 1, 4))


class Parrot:
    """Says what it was told and who it is."""

    def __init__(self, options):
        self.options = options

    def transcribe(self, batch):
        print("a library that prints")
        return [
            said(
                f"{os.getpid()} {self.options.folder} {self.options.threads} {u.audio.dtype} {len(u.audio)} "
                f"{float(u.audio.sum())} {u.language} {u.languages} {u.prompt} {u.keywords} {u.final} {u.draft}"
            )
            for u in batch
        ]


class Moody(Parrot):
    """Fails as the prompt says."""

    def transcribe(self, batch):
        match batch[0].prompt:
            case "sulk":
                raise ModelError("The model sulks. Ask again.")
            case "stumble":
                raise ZeroDivisionError("of its own")
            case "starve":
                raise RuntimeError("bfc_arena.cc: Failed to allocate memory for requested buffer of size 15095808")
            case "odd":
                return [Hypothesis((Token(" odd", np.float32(-0.5)),))]
            case "hang":
                time.sleep(600)
        return super().transcribe(batch)


class Mortal(Parrot):
    """Dies of poison as native code does, and counts its deaths."""

    def transcribe(self, batch):
        if any(u.audio[0] == POISON for u in batch):
            with (self.options.folder / "deaths").open("a") as deaths:
                deaths.write("x")
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().transcribe(batch)


class Patient(Parrot):
    """Waits at a gate, and says that it stands there."""

    def transcribe(self, batch):
        (self.options.folder / f"here-{os.getpid()}").touch()
        while not (self.options.folder / "open").exists():
            time.sleep(0.01)
        return super().transcribe(batch)


class Tidy(Parrot):
    """Leaves a mark when it is closed."""

    def close(self):
        with (self.options.folder / "closed").open("a") as marks:
            marks.write("x")


class PatientAndTidy(Patient, Tidy):
    """Both."""


class Clinging(Parrot):
    """Does not come to an end of its closing."""

    def close(self):
        time.sleep(600)


def refuses(options):
    raise OperatorError("The files are not there. Run hark pull.")


def stumbles(options):
    raise ZeroDivisionError("of its own")


def dies(options):
    sys.stdout.flush()
    os._exit(3)


def model(load, **spec):
    return EngineModel(ModelSpec("parrot", "for this test", "MIT", **spec), load)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
