"""Work: what a session asks of models. Result: what comes back. Compute: whoever carries the one to the other.

Rule: work is plain data and may be sent to another process, run twice, or thrown away; a model keeps nothing of it.
Audio is always mono float32 in [-1, 1] at 16,000 samples a second.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final, Protocol, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from hark.audio.intake import RATE
from hark.errors import HarkError

Audio: TypeAlias = NDArray[np.float32]

SAMPLE_RATE: Final = RATE
# The voice detector's step: 512 samples, 32 ms (Silero VAD 5 and later take no other at 16 kHz).
WINDOW_SAMPLES: Final = 512


def to_ms(samples: int) -> int:
    """Sample number at 16 kHz -> whole milliseconds on the audio clock."""
    return samples * 1000 // SAMPLE_RATE


def to_samples(ms: int) -> int:
    """Milliseconds -> samples at 16 kHz."""
    return ms * SAMPLE_RATE // 1000


# A scorer's memory of one session. What it holds is the scorer's business; None is the start.
VoiceState: TypeAlias = object | None


class Token(Struct, frozen=True):
    """A piece of text with the natural logarithm of its probability, and where it was heard: samples from the start of
    the utterance that the engine was given; in a session's transcript, from the start of its audio. None: the engine
    does not say. Texts of tokens concatenate to the hypothesis; a leading space marks the start of a word. A token is
    whole characters, so that the UTF-8 of tokens joins to that of the text: pieces of one character come as one token,
    their logarithms added up."""

    text: str
    logprob: float | None = None
    start: int | None = None
    end: int | None = None


class Hypothesis(Struct, frozen=True):
    """What a model heard. `cut` is true where the engine stopped it (a loop, or the token limit). `draft` is the
    engine's own writing of it, to be handed back when it is asked about the same audio with more of it behind.
    `no_speech`: how likely the engine thinks it that nobody spoke, from 0 to 1; None: it does not say."""

    tokens: tuple[Token, ...]
    language: str | None = None
    cut: bool = False
    draft: tuple[int, ...] = ()
    no_speech: float | None = None

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens).strip()

    @property
    def confidence(self) -> float | None:
        """The mean of its tokens' log probabilities, as far as they are known."""
        known = [token.logprob for token in self.tokens if token.logprob is not None]
        return sum(known) / len(known) if known else None


class ScoreVoice(Struct, frozen=True):
    """Probability of speech for each whole window of `audio` ([n * WINDOW_SAMPLES]), going on from `state`."""

    id: int
    audio: Audio
    state: VoiceState


class Urgency(IntEnum):
    """How soon a transcript is wanted: the least number first."""

    ENDED = 0  # its turn is over, and somebody waits for the text
    PAUSED = 1  # the talker has paused, and may be done
    GROWING = 2  # the turn goes on, or it is a recording, which nobody speaks


class Transcribe(Struct, frozen=True):
    """Text of `audio` ([n]) by the engine of this name. `languages`: those that it may be in, where the client knows
    more than one and `language` is None. `final`: nothing more of this piece of speech will be asked about, as far as
    is known. `draft` is that of the last hypothesis about a shorter part of
    it. If `replaces`, an earlier request of the same session, still waits, this one takes its place, and that one is
    never answered."""

    id: int
    engine: str
    audio: Audio
    urgency: Urgency = Urgency.ENDED
    language: str | None = None
    languages: tuple[str, ...] = ()
    prompt: str | None = None
    keywords: tuple[str, ...] = ()
    final: bool = True
    draft: tuple[int, ...] = ()
    replaces: int | None = None


class JudgeTurn(Struct, frozen=True):
    """Whether the talker of `audio` ([n], a turn's last seconds up to a pause) is done."""

    id: int
    audio: Audio


class EmbedSpeaker(Struct, frozen=True):
    """How the voice in `audio` ([n], one finished piece of speech) sounds."""

    id: int
    audio: Audio


Work: TypeAlias = ScoreVoice | Transcribe | JudgeTurn | EmbedSpeaker


class Urge(Struct, frozen=True):
    """The request `id` for a transcript is wanted as soon as this by now. It has no answer of its own."""

    id: int
    urgency: Urgency


class VoiceScored(Struct, frozen=True):
    """`probabilities` float32 [n], one a window, and the state to go on from."""

    id: int
    probabilities: NDArray[np.float32]
    state: VoiceState


class Ran(Struct, frozen=True):
    """How a request was run: with how many in its batch, after how many seconds in the queue, in how many seconds."""

    batch: int
    waited_s: float
    ran_s: float


class Transcribed(Struct, frozen=True):
    """`ran` is there if somebody wants to know."""

    id: int
    hypothesis: Hypothesis
    ran: Ran | None = None


class TurnJudged(Struct, frozen=True):
    """`probability` in [0, 1] that the turn is over."""

    id: int
    probability: float


class SpeakerEmbedded(Struct, frozen=True):
    """`vector` float32 [d], of any length: those of one voice point nearly the same way."""

    id: int
    vector: NDArray[np.float32]


class WorkFailed(Struct, frozen=True):
    id: int
    error: HarkError


Result: TypeAlias = VoiceScored | Transcribed | TurnJudged | SpeakerEmbedded | WorkFailed


class Strain(Struct, frozen=True):
    """How hard the models work, by the last seconds. `late`: the share of its time that the busiest engine spent on
    transcripts for which somebody waited already when they were begun; `final`: on these and on early ones. `wait_s`:
    how long 19 of 20 of the former waited to be begun, at most; `scores_wait_s`: the same of voice scores. `callers`:
    how many batches the engine runs at once. `sessions`: how many the former come from, if other servers' are among
    them; 0: this server's alone."""

    late: float = 0.0
    final: float = 0.0
    wait_s: float = 0.0
    scores_wait_s: float = 0.0
    callers: int = 1
    sessions: int = 0


class Compute(Protocol):
    """Runs work somewhere, joined with that of other sessions."""

    def submit(self, work: Work, deliver: Callable[[Result], None]) -> None:
        """Take `work` and return at once; `deliver` is called once, later, on the caller's event loop."""

    def urge(self, urge: Urge, deliver: Callable[[Result], None]) -> None:
        """Change the place of a request that was submitted with this `deliver`, if it still waits."""

    def withdraw(self, deliver: Callable[[Result], None]) -> None:
        """Forget all work that was submitted with this `deliver`: its session is gone."""
