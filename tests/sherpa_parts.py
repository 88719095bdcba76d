"""What the stand-ins of sherpa_standins.py are made of: words, what counts as loud, and nodes that all of them have."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hark.models.onnx.writing import OnnxGraph

WORDS = ("\u2581HELLO", "\u2581WOR", "LD", "\u2581AGAIN")
LOUD = -6.0  # mean log mel energy of noise far above that of silence
CHUNK = 32  # frames of 10 ms


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def one_hot(length: int, at: int = 0) -> np.ndarray:
    return np.eye(length, dtype=np.float32)[at]


def save(graph: OnnxGraph, path: Path, **metadata: object) -> None:
    graph.metadata(**metadata)
    path.write_bytes(graph.serialized())


def write_tokens(folder: Path, symbols: tuple[str, ...], name: str = "tokens.txt") -> None:
    (folder / name).write_text("".join(f"{symbol} {number}\n" for number, symbol in enumerate(symbols)), "utf-8")


def loudness(graph: OnnxGraph, energy: str) -> str:
    """1 where the mean energy is far above LOUD, 0 where it is far below."""
    over = graph.node("Sub", energy, graph.constant(floats(LOUD)))
    return graph.node("Sigmoid", graph.node("Mul", over, graph.constant(floats(2.0))))


def counted(g: OnnxGraph, frames: str, loud: str, words: int) -> str:
    """For each frame of [N, S] the number of its word, eight frames each; `words` where it is not loud."""
    one = g.constant(floats(1.0))
    ones = g.node("Add", g.node("Mul", frames, g.constant(floats(0.0))), one)
    count = g.node("Sub", g.node("CumSum", ones, g.constant(np.array(1, np.int64))), one)
    number = g.node("Floor", g.node("Div", count, g.constant(floats(8.0))))
    index = g.node("Mod", number, g.constant(floats(words)), fmod=1)
    return g.node("Cast", g.node("Where", loud, index, g.constant(floats(words))), to=7)
