"""Voice scores -> turns: when speech started and when it stopped, on the audio clock.

A detector is fed one window after another and says what became of it. There is a class for each mode; when the client
changes the mode, the session swaps the object, so nothing here asks which mode it is in.

    Manual      the client commits. Speech is noticed, so that words can be shown before the commit; nothing ends here.
    Server      speech starts after ONSET_WINDOWS windows above the threshold and stops after silence_duration_ms below
                a lower one (hysteresis). The turn begins prefix_padding_ms before its speech, but never in the speech
                of the turn before, so that no word is heard twice.

Rule: all is counted in samples, and nothing here knows what time it is.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeAlias

from msgspec import Struct

from hark.core.settings import Eagerness, TurnDetection
from hark.core.work import WINDOW_SAMPLES, to_samples

# A click or a cough can lift one or two windows; spoken words, nearly all of them, lift four and more (docs/turns.md).
ONSET_WINDOWS: Final = 3
# Silero's own iterator ends speech 0.15 below the threshold that starts it (silero-vad, utils_vad.py); with that, soft
# syllables split more turns, which costs 0.3 points of word error rate on read speech (docs/turns.md).
HYSTERESIS: Final = 0.25
# In manual mode a miss loses words and a false start costs one request, so the bar is lower.
MANUAL_THRESHOLD: Final = 0.4
# Until an end-of-turn model judges pauses, semantic_vad waits these silences: an eager one less, a patient one more.
EAGERNESS_SILENCE_MS: Final[dict[Eagerness, int]] = {"low": 1_200, "medium": 700, "auto": 700, "high": 400}


class Started(Struct, frozen=True):
    """A turn begins at `start`, its speech at `speech_start`."""

    start: int
    speech_start: int


class Stopped(Struct, frozen=True):
    """The turn ends at `end`, its trailing silence included."""

    end: int


Signal: TypeAlias = Started | Stopped


class Detector(Protocol):
    """What the session asks of every mode."""

    announces: bool
    voiced_level: float

    def feed(self, window: int, probability: float) -> Signal | None:
        """The next window, by number, and its probability of speech."""

    def rest(self, floor: int) -> None:
        """A turn was ended at sample `floor` by something else: wait for new speech from there on."""

    def carry_on(self, last_voiced: int) -> None:
        """A turn was already going on when this detector took over; its speech was last heard at `last_voiced`."""


class _Onset:
    """Notices that speech has begun: ONSET_WINDOWS windows in a row at or above the threshold."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._run = 0

    def feed(self, probability: float) -> bool:
        self._run = self._run + 1 if probability >= self._threshold else 0
        return self._run >= ONSET_WINDOWS

    def reset(self) -> None:
        self._run = 0


class Manual:
    """turn_detection null."""

    announces = False

    def __init__(self, floor: int = 0) -> None:
        self.voiced_level = _voiced_level(MANUAL_THRESHOLD)
        self._onset = _Onset(MANUAL_THRESHOLD)
        self._floor = floor
        self._speaking = False

    def feed(self, window: int, probability: float) -> Signal | None:
        if self._speaking or not self._onset.feed(probability):
            return None
        self._speaking = True
        heard = (window + 1) * WINDOW_SAMPLES
        return Started(self._floor, max(self._floor, heard - ONSET_WINDOWS * WINDOW_SAMPLES))

    def rest(self, floor: int) -> None:
        self._floor = floor
        self._speaking = False
        self._onset.reset()

    def carry_on(self, last_voiced: int) -> None:
        self._speaking = True


class Server:
    """turn_detection server_vad, and semantic_vad with the silence of its eagerness."""

    announces = True

    def __init__(self, settings: TurnDetection, floor: int = 0) -> None:
        silence_ms = settings.silence_duration_ms
        if settings.type == "semantic_vad":
            silence_ms = EAGERNESS_SILENCE_MS[settings.eagerness]
        self.voiced_level = _voiced_level(settings.threshold)
        self._onset = _Onset(settings.threshold)
        self._padding = to_samples(settings.prefix_padding_ms)
        self._silence = to_samples(silence_ms)
        self._floor = floor
        self._last_voiced: int | None = None  # end of the last voiced window while speech goes on

    def feed(self, window: int, probability: float) -> Signal | None:
        end = (window + 1) * WINDOW_SAMPLES
        if self._last_voiced is None:
            if not self._onset.feed(probability):
                return None
            self._last_voiced = end
            speech = max(self._floor, end - ONSET_WINDOWS * WINDOW_SAMPLES)
            return Started(max(self._floor, speech - self._padding), speech)
        if probability >= self.voiced_level:
            self._last_voiced = end
            return None
        if end - self._last_voiced < self._silence:
            return None
        stop = self._last_voiced + self._silence
        self.rest(self._last_voiced)
        return Stopped(stop)

    def rest(self, floor: int) -> None:
        self._floor = floor
        self._last_voiced = None
        self._onset.reset()

    def carry_on(self, last_voiced: int) -> None:
        self._last_voiced = last_voiced


def detector(settings: TurnDetection | None, floor: int) -> Detector:
    """The detector for these settings; no turn of it begins before sample `floor`."""
    return Manual(floor) if settings is None else Server(settings, floor)


def _voiced_level(threshold: float) -> float:
    return max(threshold - HYSTERESIS, 0.01)
