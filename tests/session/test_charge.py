"""A session whose audio is counted: what was taken in is told to its end, and what comes after is not heard."""

import pytest

from hark.core import messages as m
from hark.core.settings import AudioFormat, SessionSettings, TurnDetection
from hark.errors import RateLimitError
from hark.session.frontend import PIECE_BYTES
from rehearsal import RATE, Rehearsal, names, pcm, say

ENOUGH = RateLimitError("Enough.", retry_after_s=60)
MODES = [None, TurnDetection()]


class Purse:
    """Allows this many milliseconds."""

    def __init__(self, ms):
        self.left = ms * RATE // 1_000

    def __call__(self, samples):
        self.left -= samples
        return ENOUGH if self.left < 0 else None


def stage(mode, purse, **settings):
    settings = {"format": AudioFormat("pcm16", RATE)} | settings
    return Rehearsal(SessionSettings(turn_detection=mode, **settings), charge=purse)


@pytest.mark.parametrize("mode", MODES)
def test_the_open_turn_is_finished_and_then_it_is_said_why(mode):
    stages = stage(mode, Purse(1_250)).hear(say(300, "alpha", "bravo", 300, "charlie")).answer_all()
    assert not stages.session.ended
    stages.hear(say(100, "delta", "echo", 2_000)).answer_all()
    assert " ".join(stages.transcripts()) == "alpha bravo charlie"
    assert names(stages.events)[-2:] == ["TranscriptCompleted", "SessionEnded"]
    ended = stages.events[-1]
    assert (ended.code, ended.reason) == (1013, "rate_limit_error.rate_limit_exceeded")
    assert ended.error is ENOUGH


def test_every_sample_is_counted_once_whatever_the_format():
    purse = Purse(10_000)
    stages = stage(None, purse, format=AudioFormat("g711_ulaw", 8_000)).give(m.AppendAudio(audio=bytes(8_000)))
    stages.set(format=AudioFormat("pcm16", 24_000)).answer_all()
    for _ in range(10):
        stages.give(m.AppendAudio(audio=bytes(4_801)))  # chunks may split a sample
    stages.answer_all()
    assert purse.left == 10 * RATE - RATE - 10 * 4_801 // 2 * RATE // 24_000


def test_a_large_append_ends_within_a_piece():
    purse = Purse(0)
    stages = stage(None, purse).give(m.AppendAudio(audio=bytes(10 * PIECE_BYTES))).answer_all()
    assert -purse.left == PIECE_BYTES // 2
    assert stages.session.ended


def test_what_waits_behind_the_audio_is_not_obeyed():
    stages = stage(None, Purse(100))
    stages.give(m.AppendAudio(audio=pcm(say(200, "alpha", 200))), m.CommitAudio(), m.FinishSession())
    assert stages.answer_all().transcripts() == ["alpha"]
    assert stages.events[-1].code == 1013
    before = len(stages.events)
    stages.give(m.AppendAudio(audio=bytes(3_200)), m.CommitAudio()).answer_all()
    assert len(stages.events) == before
