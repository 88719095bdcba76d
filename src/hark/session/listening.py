"""Voice scores -> the detector's signals, in order, with the judgements that semantic_vad wants in between.

Rule: a window that cannot be decided without a judgement is held, with all that follows it, until the judgement is
there. So decisions lie at their samples however slow the judge is. If it fails or does not answer, the detector goes on
without: nothing is held for longer than JUDGE_PATIENCE_S.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from hark.core import messages as m
from hark.core.settings import VOICE_ACTIVITY, SessionSettings, TurnDetection
from hark.core.work import WINDOW_SAMPLES, JudgeTurn, Result, TurnJudged, WorkFailed, to_ms
from hark.session.buffer import AudioBuffer
from hark.session.lane import Lane
from hark.session.turns import JUDGE_AFTER, JUDGED_SAMPLES, ONSET_WINDOWS, Pause, Signal, detector

# A judgement takes some 30 ms; one that takes so long finds a machine with more work than it can do.
JUDGE_PATIENCE_S: Final = 1.0
# What a judgement may still need lies no further back than this from what was heard.
REMEMBERED: Final = JUDGED_SAMPLES + JUDGE_AFTER


def voice_activity(settings: SessionSettings, scored: list[tuple[int, float]]) -> list[m.VoiceActivity]:
    """What a client that asked for voice activity is told of new windows, before anything is decided by them."""
    if not scored or VOICE_ACTIVITY not in settings.include:
        return []
    first, _ = scored[0]
    return [m.VoiceActivity(to_ms(first * WINDOW_SAMPLES), tuple(probability for _, probability in scored))]


class Listening:
    def __init__(self, buffer: AudioBuffer, detection: TurnDetection | None) -> None:
        self.detector = detector(detection, 0)
        self.recent: deque[tuple[int, float]] = deque(maxlen=ONSET_WINDOWS)
        self.lane = Lane(JUDGE_PATIENCE_S)
        self._notice: str | None = None
        self._buffer = buffer
        self._unheard: deque[tuple[int, float]] = deque()
        self._asked: Pause | None = None
        self._disappointed = False

    @property
    def caught_up(self) -> bool:
        """Whether no scored window waits for a judgement."""
        return not self._unheard

    @property
    def held_samples(self) -> int:
        """How much has been scored and waits for a judgement."""
        return len(self._unheard) * WINDOW_SAMPLES

    def take_notice(self) -> str | None:
        """What the log should say of the judge, once."""
        notice, self._notice = self._notice, None
        return notice

    def switch(self, detection: TurnDetection | None, floor: int, heard: int) -> None:
        """From sample `heard` on, turns are found like this; none begins before `floor`."""
        self.detector = detector(detection, floor, heard)

    def hear(self, scored: list[tuple[int, float]]) -> Iterator[tuple[int, float, Signal | None]]:
        """Take (window, probability) of new windows; each window that can be decided by now, with what became of it."""
        self._unheard.extend(scored)
        while self._unheard and not self.detector.holds(*self._unheard[0]):
            window, probability = self._unheard.popleft()
            self.recent.append((window, probability))
            yield window, probability, self.detector.feed(window, probability)

    def request(self, work_id: int, now: float, turn_start: int) -> JudgeTurn | None:
        """The judgement that is due of the turn that began at sample `turn_start`."""
        pause = self.detector.pause
        if pause is self._asked:
            return None
        self.lane.abandon()  # an answer that still comes is about a pause that is over
        self._asked = pause
        if pause is None:
            return None
        self.lane.launch(work_id, now)
        return JudgeTurn(work_id, self._buffer.slice(max(turn_start, pause.first), pause.last))

    def accept(self, result: Result) -> None:
        if not self.lane.settle(result):
            return
        match result:
            case TurnJudged() if 0.0 <= result.probability <= 1.0:
                self._answer(result.probability)
            case WorkFailed():
                self._do_without(result.error.message)
            case _:
                self._do_without("The model gave something else than a probability.")

    def give_up(self) -> None:
        """The judge did not answer in time."""
        self.lane.abandon()
        self._do_without(f"The model did not answer within {JUDGE_PATIENCE_S:g} s.")

    def _do_without(self, why: str) -> None:
        if not self._disappointed:
            self._notice = f"a pause was not judged, so its silence alone decided: {why} This is said once a session."
        self._disappointed = True
        self._answer(None)

    def _answer(self, probability: float | None) -> None:
        # The client may have ended the turn, or switched the mode, since it was asked.
        if self._asked is not None and self.detector.pause is self._asked:
            self.detector.judged(probability)
        self._asked = None
