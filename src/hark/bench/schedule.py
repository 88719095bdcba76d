"""What a session says and when: clips in an order of its own, pauses between them, frames that arrive unevenly.

Rule: all that is drawn at random comes from the seed and the session's number, so a run can be repeated. Every piece is
a whole number of frames, so that sessions share frames that were encoded once.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from hark.core.work import SAMPLE_RATE

PAUSE: Final = -1  # stands for a frame of a pause, in the place of a clip


class Length(Struct, frozen=True):
    """Of a clip: whole frames, and where in it speech ends, in samples."""

    frames: int
    speech_end: int


class Turn(Struct, frozen=True):
    """A clip on the audio clock of its session, in samples. `until` is where the next one begins."""

    clip: int
    start: int
    speech_end: int
    until: int


class Script(Struct, frozen=True):
    """`frames` are (clip or PAUSE, number of the frame in it); `arrivals` are seconds after the start of the audio at
    which the frames leave, each when its last sample has been spoken, and a little later at random.
    `offset`: how many seconds after the others this session's audio starts, so that not all send at once."""

    turns: tuple[Turn, ...]
    frames: tuple[tuple[int, int], ...]
    arrivals: tuple[float, ...]
    offset: float = 0.0


class Plan(Struct, frozen=True):
    """How sessions talk. Times in seconds; `pauses` are the least and the most between two clips, `jitter_s` the most
    that a frame comes late."""

    seconds: float = 30.0
    frame_samples: int = SAMPLE_RATE // 10
    pauses: tuple[float, float] = (1.0, 2.0)
    jitter_s: float = 0.02
    seed: int = 0


def script(plan: Plan, clips: Sequence[Length], session: int) -> Script:
    """What session number `session` plays: each clip once in a random order, then each once more, while there is
    time."""
    chance = random.Random(f"{plan.seed}/{session}")  # noqa: S311 - no secret, and it has to be repeatable
    total = round(plan.seconds * SAMPLE_RATE / plan.frame_samples)
    # Sessions that all began with a clip would all end a turn within the same seconds.
    place = chance.randrange(round(_mean(clips)) + 1) if total > 2 * _mean(clips) else 1
    frames: list[tuple[int, int]] = [(PAUSE, 0)] * place
    begun: list[tuple[int, int]] = []
    order = _order(chance, len(clips))
    while (clip := _fitting(order, clips, total - len(frames) - _frames(plan, plan.pauses[1]))) is not None:
        begun.append((clip, len(frames)))
        frames += [(clip, number) for number in range(clips[clip].frames)]
        frames += [(PAUSE, 0)] * _frames(plan, chance.uniform(*plan.pauses))
    frames = frames[:total] + [(PAUSE, 0)] * (total - len(frames))
    starts = [at * plan.frame_samples for _, at in begun] + [total * plan.frame_samples]
    turns = [
        Turn(clip, start, start + clips[clip].speech_end, until)
        for (clip, _), start, until in zip(begun, starts, starts[1:], strict=False)
    ]
    offset = chance.uniform(0, plan.frame_samples / SAMPLE_RATE)
    return Script(tuple(turns), tuple(frames), tuple(_arrivals(plan, chance, len(frames))), offset)


def _mean(clips: Sequence[Length]) -> float:
    return sum(clip.frames for clip in clips) / len(clips)


def _frames(plan: Plan, seconds: float) -> int:
    return -(-round(seconds * SAMPLE_RATE) // plan.frame_samples)


def _order(chance: random.Random, count: int) -> Iterator[int]:
    while True:
        yield from chance.sample(range(count), count)


def _fitting(order: Iterator[int], clips: Sequence[Length], room: int) -> int | None:
    """The next clip that there is room for; looks at each about once."""
    return next((clip for _, clip in zip(clips, order, strict=False) if clips[clip].frames <= room), None)


def _arrivals(plan: Plan, chance: random.Random, count: int) -> Iterator[float]:
    frame_s, last = plan.frame_samples / SAMPLE_RATE, 0.0
    for number in range(1, count + 1):
        last = max(last, number * frame_s + chance.uniform(0, plan.jitter_s))
        yield last
