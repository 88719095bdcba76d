"""Whether speech seems to be played too fast or too slow, as it is when its rate was declared wrongly.

Nothing on the wire tells 16 kHz audio that is declared as 24 kHz from a fast talker with a high voice. The model that
transcribes can: it is surer of speech at the speed at which it was spoken. So where words come at an unlikely pace, or
the model is unsure, one stretch that it has heard already is tried again as if at each of the usual rates, and if it is
surer of one of these by a margin, the log is told (figures in docs/audio.md).

Rule: a few requests a session, made only while nothing else is asked. No transcript changes, and nothing is said to the
client. Engines that give no probabilities are never doubted. Refuses: to judge by a single short sentence.
"""

from __future__ import annotations

from math import inf
from typing import Final

import numpy as np

from hark.audio.resample import Resampler
from hark.core.work import SAMPLE_RATE, Audio, Hypothesis, Result, Transcribe, Transcribed, Urgency
from hark.session.lane import Lane

# Speech that has to be heard before its pace is judged, and the stretch that is tried again.
ENOUGH: Final = 5 * SAMPLE_RATE
SHORTEST: Final = 2 * SAMPLE_RATE
LONGEST: Final = 15 * SAMPLE_RATE
# Words a second, pauses inside a stretch included, and mean log probability of a token: a rate is tried beyond these.
SLOW: Final = 1.9
FAST: Final = 3.7
UNSURE: Final = -0.4
# By how much surer the model must be at another rate.
MARGIN: Final = 0.05
TRIALS: Final = 4
USUAL_RATES: Final = (8_000, 16_000, 24_000, 44_100, 48_000)
# Beyond a factor of two speech is not taken for speech in the first place.
FURTHEST: Final = 2.0
# A talker at 44.1 and at 48 kHz sounds alike, and the model may be surer of either: such a notice would be chance.
NEAREST: Final = 1.2


class PaceCheck:
    """`rate` is the one that the session declares, in samples a second."""

    def __init__(self, rate: int) -> None:
        self._lane = Lane(inf)  # an answer that never comes holds up nothing but further trials
        self.rate = rate
        self._notice: str | None = None
        self._words = 0
        self._heard = 0  # samples
        self._doubt = 0.0  # sum of log probabilities
        self._tokens = 0
        self._trials = 0
        self._said: Transcribe | None = None  # the request whose answer is doubted
        self._sure = 0.0  # … and its mean log probability
        self._least_words = 0
        self._to_try: list[int] = []
        self._trying = 0
        self._best: tuple[float, int] = (0.0, 0)

    def take_notice(self) -> str | None:
        """What was found out, once."""
        notice, self._notice = self._notice, None
        return notice

    def hear(self, request: Transcribe, hypothesis: Hypothesis) -> None:
        """A stretch was transcribed for good."""
        length = len(request.audio)
        if self._said or self._trials >= TRIALS or not SHORTEST <= length <= LONGEST:
            return
        if (sure := hypothesis.confidence) is None:
            return  # without it nothing can be told
        words, doubt = len(hypothesis.text.split()), sure * len(hypothesis.tokens)
        self._words += words
        self._heard += length
        self._doubt += doubt
        self._tokens += len(hypothesis.tokens)
        pace, mean = self._words * SAMPLE_RATE / self._heard, self._doubt / self._tokens
        if self._heard < ENOUGH or (SLOW <= pace <= FAST and mean >= UNSURE):
            return
        self._trials += 1
        self._said, self._sure, self._least_words = request, sure, words // 2
        self._to_try = others(self.rate)
        self._best = (self._sure + MARGIN, 0)

    def request(self, work_id: int, now: float) -> Transcribe | None:
        """The next trial, if one is due."""
        if not self._lane.idle or self._said is None:
            return None
        self._trying = self._to_try.pop()
        self._lane.launch(work_id, now)
        audio = played_at(self._said.audio, self._trying / self.rate)
        return Transcribe(work_id, self._said.engine, audio, Urgency.GROWING, language=self._said.language)

    def accept(self, result: Result) -> None:
        """The answer to a trial, or to somebody else's request."""
        if not self._lane.settle(result) or self._said is None:
            return
        if isinstance(result, Transcribed):
            sure, words = result.hypothesis.confidence, len(result.hypothesis.text.split())
            if sure is not None and words >= self._least_words:
                self._best = max(self._best, (sure, self._trying))
        self._conclude()

    def _conclude(self) -> None:
        if self._to_try:
            return
        self._said = None
        rate = self._best[1]
        if rate:
            self._trials = TRIALS
            fast = rate < self.rate
            speed = f"{max(rate, self.rate) / min(rate, self.rate):.1f} times too {'fast' if fast else 'slow'}"
            self._notice = (
                f"The speech sounds {speed}: it is declared as {self.rate} samples a second and is understood best as "
                f"{rate}. Set the session's rate to that of the audio, or resample the audio to {self.rate}."
            )


def others(rate: int) -> list[int]:
    """The rates that audio may have which is declared as `rate`: one at least, whatever it is."""
    return [usual for usual in USUAL_RATES if NEAREST <= max(usual / rate, rate / usual) <= FURTHEST]


def played_at(audio: Audio, factor: float) -> Audio:
    """`audio` as it would have come in had its declared rate been `factor` times what it was."""
    resampler = Resampler(round(SAMPLE_RATE * factor), SAMPLE_RATE)
    return np.concatenate((resampler.push(audio), resampler.tail()))
