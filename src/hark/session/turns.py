"""Voice scores -> turns: when speech started and when it stopped, on the audio clock.

A detector is fed one window after another and says what became of it. There is a class for each mode; when the client
changes the mode, the session swaps the object, so nothing here asks which mode it is in.

    Manual      the client commits. Speech is noticed, so that words can be shown before the commit; nothing ends here.
    Server      speech starts after ONSET_WINDOWS windows above the threshold and stops after silence_duration_ms below
                a lower one (hysteresis). The turn begins prefix_padding_ms before its speech, but never in the speech
                of the turn before, so that no word is heard twice.
    Semantic    starts as Server does. When speech has paused for JUDGE_AFTER, a model is asked whether the talker is
                done; the surer it is of that, the less silence ends the turn, between limits that eagerness sets.

Rule: all is counted in samples, and nothing here knows what time it is.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeAlias

from msgspec import Struct, structs

from hark.core.settings import Eagerness, TurnDetection
from hark.core.work import SAMPLE_RATE, WINDOW_SAMPLES, to_samples

# A click or a cough can lift one or two windows; spoken words, nearly all of them, lift four and more (docs/turns.md).
ONSET_WINDOWS: Final = 3
# Silero's own iterator ends speech 0.15 below the threshold that starts it (silero-vad, utils_vad.py); with that, soft
# syllables split more turns, which costs 0.3 points of word error rate on read speech (docs/turns.md).
HYSTERESIS: Final = 0.25
# In manual mode a miss loses words and a false start costs one request, so the bar is lower.
MANUAL_THRESHOLD: Final = 0.4
# The silence after which a pause is judged. Most gaps between words are over by then, and the judgement is there before
# the least silence is.
JUDGE_AFTER: Final = 4 * WINDOW_SAMPLES
# As much of a turn as its judge hears: Smart Turn was trained on 8 s.
JUDGED_SAMPLES: Final = 8 * SAMPLE_RATE
# Most judgements are sure and differ by few per cents; a power under 1 spreads those (docs/turns.md).
DOUBT_POWER: Final = 0.5


class Patience(Struct, frozen=True):
    """How much silence semantic_vad waits for: at least, where the judge is sure that the talker is done; at most,
    where it is sure of the contrary (contract D.5); and where there is no judgement."""

    least_ms: int
    most_ms: int
    unjudged_ms: int

    def silence(self, probability: float | None) -> int:
        """Samples of silence that end a turn which is over with this probability."""
        if probability is None:
            return to_samples(self.unjudged_ms)
        doubt: float = (1.0 - probability) ** DOUBT_POWER
        return to_samples(round(self.least_ms * (self.most_ms / self.least_ms) ** doubt))


PATIENCE: Final[dict[Eagerness, Patience]] = {
    "low": Patience(400, 8_000, 1_200),
    "medium": Patience(200, 4_000, 700),
    "auto": Patience(200, 4_000, 700),
    "high": Patience(200, 2_000, 400),
}


class Started(Struct, frozen=True):
    """A turn begins at `start`, its speech at `speech_start`."""

    start: int
    speech_start: int


class Stopped(Struct, frozen=True):
    """The turn ends at `end`, its trailing silence included."""

    end: int


class Idled(Struct, frozen=True):
    """Nobody spoke from sample `start` to `end`, and that was long enough for the client to hear of it."""

    start: int
    end: int


Signal: TypeAlias = Started | Stopped | Idled


class Pause(Struct, frozen=True):
    """A pause that is to be judged by samples [first, last) of its turn. `last` is the end of the last voiced window:
    voice scores outlast the voice a little, and with more silence than that judgements are worse (docs/turns.md)."""

    first: int
    last: int


class Detector(Protocol):
    """What the session asks of every mode."""

    announces: bool
    voiced_level: float
    pause: Pause | None = None
    silence_from: int | None = None
    """Where the silence begins that may become an item, for its audio is kept; None if none may."""

    def feed(self, window: int, probability: float) -> Signal | None:
        """The next window, by number, and its probability of speech."""

    def rest(self, floor: int) -> None:
        """A turn was ended at sample `floor` by something else: wait for new speech from there on."""

    def carry_on(self, last_voiced: int) -> None:
        """A turn was already going on when this detector took over; its speech was last heard at `last_voiced`."""

    def holds(self, window: int, probability: float) -> bool:
        """Whether this window, the next one, must not be fed before `pause` has been judged."""
        return False

    def judged(self, probability: float | None) -> None:
        """With this probability the turn was over at `pause`; None if nobody can tell."""
        return


class _Onset:
    """Notices that speech has begun: ONSET_WINDOWS windows in a row at or above the threshold."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._run = 0

    def feed(self, probability: float) -> bool:
        self._run = self._run + 1 if probability >= self._threshold else 0
        return self._run >= ONSET_WINDOWS

    @property
    def running(self) -> bool:
        return self._run > 0

    def reset(self) -> None:
        self._run = 0


class Manual(Detector):
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


class Server(Detector):
    """turn_detection server_vad."""

    announces = True

    def __init__(self, settings: TurnDetection, floor: int = 0, heard: int = 0) -> None:
        self.voiced_level = _voiced_level(settings.threshold)
        self._onset = _Onset(settings.threshold)
        self._padding = to_samples(settings.prefix_padding_ms)
        self._silence = to_samples(settings.silence_duration_ms)
        self._idle = to_samples(settings.idle_timeout_ms) if settings.idle_timeout_ms else None
        self._floor = floor
        self._last_voiced: int | None = None  # end of the last voiced window while speech goes on
        self._expect_silence(max(floor, heard))

    def feed(self, window: int, probability: float) -> Signal | None:
        end = (window + 1) * WINDOW_SAMPLES
        if self._last_voiced is None:
            if not self._onset.feed(probability):
                return self._wait(end)
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
        self._expect_silence(stop)
        return Stopped(stop)

    def _wait(self, end: int) -> Idled | None:
        """Nobody speaks. What may become speech with the next window is no silence."""
        start = self.silence_from
        if start is None or self._idle is None or end - start < self._idle or self._onset.running:
            return None
        self.silence_from = None  # once is enough, until somebody has spoken again
        self._floor = max(self._floor, start + self._idle)
        return Idled(start, start + self._idle)

    def _expect_silence(self, start: int) -> None:
        self.silence_from = None if self._idle is None else start

    def rest(self, floor: int) -> None:
        self._floor = floor
        self._last_voiced = None
        self._onset.reset()
        self._expect_silence(floor)

    def carry_on(self, last_voiced: int) -> None:
        self._last_voiced = last_voiced


class Semantic(Server):
    """turn_detection semantic_vad: server_vad whose silence is set anew for each pause, once it has been judged."""

    def __init__(self, settings: TurnDetection, floor: int = 0) -> None:
        super().__init__(structs.replace(settings, idle_timeout_ms=None), floor)  # server_vad's alone (contract D.5)
        self._patience = PATIENCE[settings.eagerness]
        self._least = self._patience.silence(1.0)
        self._silence = self._patience.silence(0.0)  # it counts for judged pauses alone: see `holds`
        self._judging: int | None = None  # the pause after this sample has been judged, or is being judged

    def feed(self, window: int, probability: float) -> Signal | None:
        signal = super().feed(window, probability)
        spoke = self._last_voiced
        if spoke != self._judging:
            self.pause = self._judging = None
        begins = (window + 1) * WINDOW_SAMPLES - JUDGE_AFTER  # where it would have, were it as short as can be
        if spoke is not None and self._judging is None and spoke <= begins:
            self.pause, self._judging = Pause(begins - JUDGED_SAMPLES, spoke), spoke
        return signal

    def holds(self, window: int, probability: float) -> bool:
        if self.pause is None or self._last_voiced is None or probability >= self.voiced_level:
            return False
        return (window + 1) * WINDOW_SAMPLES - self._last_voiced >= self._least

    def judged(self, probability: float | None) -> None:
        self.pause = None
        self._silence = self._patience.silence(probability)

    def rest(self, floor: int) -> None:
        super().rest(floor)
        self.pause = self._judging = None


def detector(settings: TurnDetection | None, floor: int, heard: int = 0) -> Detector:
    """The detector for these settings; no turn of it begins before sample `floor`, and of silence it has to tell only
    from `heard` on, where it takes over."""
    if settings is None:
        return Manual(floor)
    return Semantic(settings, floor) if settings.type == "semantic_vad" else Server(settings, floor, heard)


def _voiced_level(threshold: float) -> float:
    return max(threshold - HYSTERESIS, 0.01)
