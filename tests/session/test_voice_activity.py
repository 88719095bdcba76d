"""Voice activity: who asks is told of every window, once, in order, before what it decides; nobody else hears of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hark.core import messages as m
from hark.core.settings import LOGPROBS, VOICE_ACTIVITY, TurnDetection
from hark.core.work import ScoreVoice
from rehearsal import say, staged

MODES = [None, TurnDetection(), TurnDetection(type="semantic_vad")]
WINDOW_MS = 32


def told(stage):
    return stage.said(m.VoiceActivity)


def windows(events):
    """(start in ms, probability) of each window."""
    return [
        (event.audio_start_ms + WINDOW_MS * place, probability)
        for event in events
        for place, probability in enumerate(event.probabilities)
    ]


def audio():
    return [say(200), say("alpha", "bravo", "charlie"), say(900)]


@pytest.mark.parametrize("mode", MODES, ids=["manual", "server", "semantic"])
@pytest.mark.parametrize("include", [(), (LOGPROBS,)])
def test_nobody_is_told_who_did_not_ask(mode, include):
    stage = staged(mode, include=include)
    for part in audio():
        stage.hear(part)
    assert told(stage) == []


@pytest.mark.parametrize("mode", MODES, ids=["manual", "server", "semantic"])
@given(chunk=st.integers(100, 20_000))
def test_every_window_is_told_once_and_in_order(mode, chunk):
    stage = staged(mode, include=(VOICE_ACTIVITY,))
    for part in audio():
        stage.hear(part, chunk)
    heard = windows(told(stage))
    assert [start for start, _ in heard] == [WINDOW_MS * place for place in range(1_700 // WINDOW_MS)]
    voiced = [start for start, probability in heard if probability >= 0.5]
    assert 200 - WINDOW_MS < voiced[0] <= 200 + WINDOW_MS
    assert 800 - 2 * WINDOW_MS <= voiced[-1] < 800 + WINDOW_MS


def test_a_window_is_told_before_what_it_decides():
    stage = staged(TurnDetection(), include=(VOICE_ACTIVITY,))
    for part in audio():
        stage.hear(part, 512)
    started = next(place for place, event in enumerate(stage.events) if isinstance(event, m.SpeechStarted))
    before = windows(event for event in stage.events[:started] if isinstance(event, m.VoiceActivity))
    assert [probability >= 0.5 for _, probability in before[-4:]] == [False, True, True, True]


def test_it_can_be_asked_for_and_left_off_at_any_time():
    stage = staged(None).hear(say(320)).set(include=(VOICE_ACTIVITY,)).hear(say(320)).set(include=()).hear(say(320))
    assert [start for start, _ in windows(told(stage))] == list(range(320, 640, WINDOW_MS))


def test_windows_without_a_score_count_as_speech():
    stage = staged(None, include=(VOICE_ACTIVITY,))
    stage.fail = lambda work: isinstance(work, ScoreVoice)
    stage.hear(say(320))
    assert {probability for _, probability in windows(told(stage))} == {1.0}
