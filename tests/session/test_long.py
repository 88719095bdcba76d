"""A session of two hours: what it remembers stops growing."""

import gc
from types import FunctionType, ModuleType

import numpy as np
import pytest

from hark.core import messages as m
from hark.core.settings import TurnDetection
from hark.models.scripted import WORDS
from rehearsal import say, staged

CHUNK_S = 12
HOUR = 3_600 // CHUNK_S


def weight(root):
    """(objects, bytes of audio) that can be reached from `root`, code left out."""
    seen, found, waiting = set(), [], [root]
    while waiting:
        thing = waiting.pop()
        if id(thing) not in seen and not isinstance(thing, type | ModuleType | FunctionType):
            seen.add(id(thing))
            found.append(thing)
            waiting += gc.get_referents(thing)
    return len(found), sum(thing.nbytes for thing in found if isinstance(thing, np.ndarray))


def chunk(*parts):
    """`parts` and then silence, CHUNK_S in all."""
    audio = np.zeros(CHUNK_S * 16_000, np.float32)
    spoken = say(*parts)
    audio[: len(spoken)] = spoken
    return audio


TURNS = chunk(*[part for word in WORDS[:5] for part in (500, word, word, 1_400)])
SPEECH = chunk(*[WORDS[n % 10] for n in range(52)])
SILENCE = chunk()


@pytest.mark.parametrize(
    ("mode", "first", "then", "commits"),
    [
        (TurnDetection(), TURNS, TURNS, False),
        (TurnDetection(), SILENCE, SILENCE, False),
        (None, TURNS, TURNS, True),
        (None, SPEECH, SILENCE, False),
        (None, SILENCE, SILENCE, False),
    ],
    ids=["turns", "silence", "commits", "a commit that never comes", "nothing at all"],
)
def test_memory_stays_flat(mode, first, then, commits):
    stage = staged(mode).hear(first)
    weights = []
    for count in range(2 * HOUR):
        for part in np.split(then, 5 if commits else 1):
            stage.hear(part, len(part))
            stage.give(*[m.CommitAudio()] * commits).answer_all()
        stage.events.clear()
        stage.asked.clear()
        if count % (HOUR // 2) == HOUR // 2 - 1:
            weights.append(weight(stage.session))
    objects, audio = zip(*weights, strict=True)
    assert max(objects[1:]) < 1.1 * objects[1]
    assert max(audio) < 12e6
    assert stage.session.backlog_s < 1


def test_an_endless_turn_grows_by_its_text_alone():
    stage = staged(TurnDetection()).hear(SPEECH[: 10 * 16_000])
    for _ in range(100):
        stage.hear(SPEECH[: 10 * 16_000], 40_000)
        stage.asked.clear()
    _, audio = weight(stage.session)
    assert audio < 12e6
    assert stage.session.backlog_s < 30
    assert len(stage.hear(say(600)).transcripts()) == 1
