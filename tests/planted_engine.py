"""Engines that say a planted word, and fail in every way with it in what they say; their prompt is how. For
edge/test_planted.py, whose servers have them for a plug-in."""

import os
import threading

from hark.core.work import Hypothesis, Token
from hark.models.base import EngineModel, ModelSpec

SAID = "xylophonequartz"


class Traitor:
    """No text, and whatever is done with it fails with the word."""

    def __getattribute__(self, name):
        raise ValueError(f"{SAID} is not to be had by {name}")


class Planted:
    def __init__(self, options):
        pass

    def transcribe(self, batch):
        heard = batch[0]
        about = f"{SAID} in {heard.audio.tobytes().hex()} after {heard.prompt}"
        match heard.prompt:
            case "stumble":
                try:
                    {}[SAID]
                except KeyError:
                    raise RuntimeError(about)  # noqa: B904
            case "several":
                raise ExceptionGroup(about, [ValueError(about), ValueError(SAID)])
            case "crash" if not hasattr(self, "inside"):
                os._exit(3)
            case "betray":
                return [Hypothesis((Token(Traitor()),))]
            case "thread":
                thread = threading.Thread(target=int, args=(SAID,))
                thread.start()
                thread.join()
        return [Hypothesis((Token(f" {SAID}", -0.1),)) for _ in batch]


class Inside(Planted):
    inside = True


def plugin():
    return [
        EngineModel(ModelSpec("planted", "Says one word.", "MIT", threads=1, options=("planted_token",)), Planted),
        EngineModel(ModelSpec("planted-inside", "Says it in the server.", "MIT", own_process=False), Inside),
    ]
