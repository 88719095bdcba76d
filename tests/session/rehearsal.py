"""A session on a stage: audio and commands in, scripted models behind it, time in the test's hand.

Audio is described, not recorded: a list of words and pauses becomes a square wave that the scripted models hear. Models
answer when the test says so, in the order in which they were asked within each lane.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable

import numpy as np

from hark.core import messages as m
from hark.core.settings import AudioFormat, ModelCard, Patch, SessionSettings, TurnDetection
from hark.core.work import (
    Audio,
    EmbedSpeaker,
    Hypothesis,
    JudgeTurn,
    Result,
    ScoreVoice,
    SpeakerEmbedded,
    Transcribe,
    Transcribed,
    TurnJudged,
    Urge,
    Urgency,
    VoiceScored,
    Work,
    WorkFailed,
)
from hark.errors import ModelError
from hark.models.base import Utterance
from hark.models.scripted import WORD_SAMPLES, ScriptedEars, ScriptedEngine, ScriptedJudge, ScriptedScorer, amplitude
from hark.session.session import Session

RATE = 16_000
LANES = (ScoreVoice, JudgeTurn, Transcribe, EmbedSpeaker)
CARDS = {
    "scripted": ModelCard("scripted", "scripted"),
    "english": ModelCard("english", "scripted", knows=("en", "fr")),
    "gpt-4o-transcribe": ModelCard("gpt-4o-transcribe", "scripted", usage="tokens"),
    "gpt-live-transcribe": ModelCard("gpt-live-transcribe", "scripted", live=True, languages=True),
}
PCM_16K = {"format": AudioFormat("pcm16", RATE)}


def say(*parts: str | int) -> Audio:
    """Words and pauses (milliseconds) as float32 at 16 kHz; a word lasts 200 ms."""
    pieces = [np.zeros(0, np.float32)]
    for part in parts:
        if isinstance(part, int):
            pieces.append(np.zeros(part * RATE // 1000, np.float32))
        else:
            sign = np.where(np.arange(WORD_SAMPLES) % 40 < 20, 1, -1)
            pieces.append((amplitude(part) * sign).astype(np.float32))
    return np.concatenate(pieces)


def pcm(audio: Audio) -> bytes:
    return np.rint(audio * 32767).astype("<i2").tobytes()


class Rehearsal:
    """The pace is not judged unless asked for: five scripted words a second are an unlikely one."""

    def __init__(self, settings: SessionSettings | None = None, **options: object) -> None:
        counter: Counter[str] = Counter()

        def new_id(prefix: str) -> str:
            counter[prefix] += 1
            return f"{prefix}_{counter[prefix]}"

        view = m.SessionView("sess_1", 2_000_000_000, settings or SessionSettings(**PCM_16K))
        self.now = 0.0
        self.session = Session(
            view,
            find_model=lambda name: CARDS.get(name or "scripted"),
            new_id=new_id,
            now=0.0,
            **{"judges_pace": False} | options,
        )
        self.events: list[m.Event] = []
        self.asked: list[Work] = []
        self.urged: list[Urge] = []
        self.waiting: dict[type, deque[Work]] = {lane: deque() for lane in LANES}
        self.hold_speakers = False  # whether the model of voices keeps silent
        self.fail: Callable[[Work], bool] = lambda work: False
        self.mend: Callable[[Hypothesis], Hypothesis] = lambda hypothesis: hypothesis
        self._collect()

    def give(self, *commands: m.AnyCommand) -> Rehearsal:
        for command in commands:
            self.session.receive(command, self.now)
            self._collect()
        return self

    def hear(self, audio: Audio, chunk: int = 1_600, *, answering: bool = True) -> Rehearsal:
        """Append in chunks; the models answer after each, unless told not to."""
        data = pcm(audio)
        for at in range(0, len(data), 2 * chunk):
            self.give(m.AppendAudio(audio=data[at : at + 2 * chunk]))
            if answering:
                self.answer_all()
        return self

    def answer(self, lane: type) -> bool:
        """The model of a lane answers its request, if there is one."""
        if not self.waiting[lane]:
            return False
        self.session.receive(self._result(self.waiting[lane].popleft()), self.now)
        self._collect()
        return True

    def answer_all(self) -> Rehearsal:
        while any(self.answer(lane) for lane in LANES if lane is not EmbedSpeaker or not self.hold_speakers):
            pass
        return self

    def score_all(self) -> Rehearsal:
        """The voice detector answers and the engine does not."""
        while self.answer(ScoreVoice):
            pass
        return self

    def wait(self, seconds: float) -> Rehearsal:
        """Let the clock run, timers included."""
        end = self.now + seconds
        while (due := self.session.next_timer()) is not None and due <= end:
            self.now = max(self.now, due)
            self.session.handle_timer(self.now)
            self._collect()
        self.now = end
        return self

    def said(self, *kinds: type) -> list[m.Event]:
        return [event for event in self.events if isinstance(event, kinds)]

    def requests(self, *, final: bool) -> list[Transcribe]:
        """What the engine was asked so far."""
        return [
            work
            for work in self.asked
            if isinstance(work, Transcribe) and (work.urgency is not Urgency.GROWING) == final
        ]

    def set(self, **changed: object) -> Rehearsal:
        """Update the settings by a patch of these fields."""
        return self.give(m.UpdateSettings(patch=Patch(**changed)))

    def transcripts(self) -> list[str]:
        return [event.transcript for event in self.events if isinstance(event, m.TranscriptCompleted)]

    def _collect(self) -> None:
        for output in self.session.outputs():
            if isinstance(output, Work):
                self.asked.append(output)
                waiting = self.waiting[type(output)]
                replaced = [work for work in waiting if work.id == getattr(output, "replaces", None)]
                for work in replaced:
                    waiting.remove(work)
                waiting.append(output)
            elif isinstance(output, Urge):
                self.urged.append(output)
            else:
                self.events.append(output)

    def _result(self, work: Work) -> Result:
        if self.fail(work):
            return WorkFailed(work.id, ModelError("told to fail"))
        if isinstance(work, ScoreVoice):
            ((probabilities, state),) = ScriptedScorer().score([(work.audio, work.state)])
            return VoiceScored(work.id, probabilities, state)
        if isinstance(work, JudgeTurn):
            return TurnJudged(work.id, ScriptedJudge().judge([work.audio])[0])
        if isinstance(work, EmbedSpeaker):
            return SpeakerEmbedded(work.id, ScriptedEars().embed([work.audio])[0])
        return Transcribed(work.id, self.mend(ScriptedEngine().transcribe([Utterance(work.audio)])[0]))


def staged(turn_detection: TurnDetection | None, **more: object) -> Rehearsal:
    """A rehearsal with this turn detection."""
    return Rehearsal(SessionSettings(turn_detection=turn_detection, **(PCM_16K | more)))


def names(events: Iterable[m.Event]) -> list[str]:
    return [type(event).__name__ for event in events]
