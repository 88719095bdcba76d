"""What a session plays: the same for the same seed, whole clips, room between them."""

from itertools import pairwise

import pytest

from hark.bench.schedule import PAUSE, Length, Plan, script

CLIPS = [Length(30, 40_000), Length(52, 80_000), Length(75, 117_000)]
PLAN = Plan(seconds=60)


def test_the_seed_and_the_session_decide_everything():
    assert script(PLAN, CLIPS, 3) == script(PLAN, CLIPS, 3)
    assert script(PLAN, CLIPS, 3) != script(PLAN, CLIPS, 4)
    assert script(PLAN, CLIPS, 3) != script(Plan(seconds=60, seed=1), CLIPS, 3)


@pytest.mark.parametrize("session", range(20))
def test_clips_are_whole_and_lie_where_their_turns_say(session):
    played = script(PLAN, CLIPS, session)
    assert len(played.frames) == len(played.arrivals) == 600
    assert len(played.turns) >= 4
    for turn in played.turns:
        first, length = turn.start // PLAN.frame_samples, CLIPS[turn.clip].frames
        assert played.frames[first : first + length] == tuple((turn.clip, number) for number in range(length))
        assert turn.speech_end == turn.start + CLIPS[turn.clip].speech_end
        pause = (turn.until - turn.start) // PLAN.frame_samples - length
        assert pause >= 10
        assert {frame for frame, _ in played.frames[first + length : first + length + pause]} == {PAUSE}
    assert [turn.until for turn in played.turns[:-1]] == [turn.start for turn in played.turns[1:]]


@pytest.mark.parametrize("jitter_s", [0, 0.02, 0.5])
def test_frames_leave_in_order_and_never_before_they_are_spoken(jitter_s):
    arrivals = script(Plan(seconds=60, jitter_s=jitter_s), CLIPS, 1).arrivals
    assert all(before <= after for before, after in pairwise(arrivals))
    late = [at - (number + 1) * 0.1 for number, at in enumerate(arrivals)]
    assert min(late) > -1e-9
    assert max(late) <= jitter_s + 1e-9
    assert max(late) - min(late) >= jitter_s / 2 - 1e-9


def test_sessions_do_not_end_their_turns_together():
    ends = {script(PLAN, CLIPS, session).turns[0].speech_end for session in range(50)}
    assert len(ends) > 30
    assert len({script(PLAN, CLIPS, session).offset for session in range(50)}) == 50


def test_where_no_clip_fits_nothing_is_said():
    assert script(Plan(seconds=2), CLIPS, 0).turns == ()
