"""The climb over levels, where the load generator was late in some of them."""

import asyncio

import pytest

from hark.bench import load
from hark.bench.load import Level, climb, undecided
from hark.bench.measures import Sums
from hark.bench.ramp import Ramp
from hark.bench.scoring import Score


def played(sessions, carried, late):
    nothing = {name: [] for name in ("final", "stopped", "done_after_stop", "words_after_start", "added", "answered")}
    sums = Sums(1, 0, 0, 0, 0, **nothing, lateness=[1.0 if late else 0.0], words=Score(0, 0, 0))
    return Level(sessions, sums, carried, 1.0, None, None, 0.0)


def climbed(monkeypatch, late, carries=5):
    """The sessions that were tried, the best, and whether nothing can be said; `late` are the tries that were late."""
    monkeypatch.setattr(load, "BREATH_S", 0.0)
    tried, ramp = [], Ramp(2, 64)

    async def play(sessions):
        tried.append(sessions)
        return played(sessions, sessions <= carries, len(tried) in late)

    levels = asyncio.run(climb(play, ramp))
    return tried, ramp.best, undecided(levels)


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        ((), ([2, 4, 8, 6, 5], 5, False)),
        ((1, 2), ([2, 4, 8, 6, 5], 5, False)),  # carried all the same
        ((3,), ([2, 4, 8, 8, 6, 5], 5, False)),  # tried once more
        ((3, 4), ([2, 4, 8, 8], 4, True)),
        ((3, 5), ([2, 4, 8, 8, 6, 6, 5], 5, False)),
    ],
)
def test_what_failed_while_the_generator_was_late_is_tried_once_more(monkeypatch, late, expected):
    assert climbed(monkeypatch, late) == expected
