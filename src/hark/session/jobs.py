"""One transcription job for each turn: what to ask of the model next, and what its answers mean.

A job hears the voice scores of its turn and knows, at any time, which stretch of audio is worth transcribing: from just
before the first voiced window to TAIL after the last one. Everything else follows from that stretch:

    it grew by PARTIAL_STEP     ask for a partial hypothesis
    it stopped growing (pause)  ask for a final one, on speculation; if speech resumes, the answer served as a partial
    the turn ended              the answer for exactly this stretch is final; usually it is there already (early finish)
    nothing was voiced          the transcript is empty, and no model is asked: models invent text on silence

The stretch depends on samples alone, so what is asked in the end does not depend on how fast the model is. A long turn
is cut at pauses into segments, which are transcribed one after another: the cost of a hypothesis stays bounded.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

import numpy as np
from msgspec import Struct, structs

from hark.core.messages import Usage
from hark.core.work import SAMPLE_RATE, WINDOW_SAMPLES, Audio, Hypothesis, Token, Urgency, to_samples
from hark.errors import HarkError, ModelError
from hark.session.buffer import NO_AUDIO, AudioBuffer
from hark.session.guard import EVIDENCE_WINDOWS, Voice, checked, foreign
from hark.session.hints import Hints
from hark.session.transcript import Transcript

# Breath and soft onsets before the first voiced window; the default prefix padding.
LEAD: Final = to_samples(300)
# Soft endings after the last one; less than the usual silences, so that a pause is noticed before it ends the turn.
TAIL: Final = to_samples(96)
# A partial hypothesis costs in proportion to its length, and so the steps between them grow: the first ones come
# quickly, and however long the turn is, a second of it asks for at most PARTIAL_SHARE seconds to be transcribed.
PARTIAL_STEP: Final = to_samples(320)
PARTIAL_SHARE: Final = 12
# Segments: past the first length a pause of the first duration ends one, past the second a shorter pause does, past
# HARD_CUT the least voiced window of the last stretch does. The models were trained on up to 30 s.
SOFT_CUTS: Final = ((12 * SAMPLE_RATE, 10 * WINDOW_SAMPLES), (18 * SAMPLE_RATE, 5 * WINDOW_SAMPLES))
HARD_CUT: Final = 26 * SAMPLE_RATE
HARD_CUT_SEARCH: Final = 6 * SAMPLE_RATE
# A window of this probability counts as voiced for the guards, whatever the client's threshold.
VOICED: Final = 0.25
# A final request that fails is sent once more, unless it would fail again.
MAX_FAILURES: Final = 1


class Stretch(Struct, frozen=True):
    """Samples [first, last)."""

    first: int
    last: int


class Request(Struct, frozen=True):
    """`draft` is the engine's own, of the last answer about this segment: it saves work and changes no word. `plain`:
    the engine is to be told of nothing but the language, as what it was told has led it astray."""

    stretch: Stretch
    final: bool
    draft: tuple[int, ...] = ()
    plain: bool = False


class Piece(Struct, frozen=True):
    """What was said in a stretch, once it is final."""

    stretch: Stretch
    text: str


class Segment:
    """A part of the turn that is transcribed in one go; `end` is None while it grows."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.end: int | None = None
        self.first_voiced: int | None = None
        self.last_voiced = start
        self.scored = start
        self.scores: list[tuple[int, float]] = []  # (window, probability) from the first voiced one on
        self.answered: Stretch | None = None
        self.hypothesis: Hypothesis | None = None
        self.plain = False  # how it is asked about
        self.deadly = False  # a process was lost over a partial request: only the final one is worth another
        self.flushed = False  # whether that answered a final request

    def hear(self, window: int, probability: float, level: float) -> None:
        first = max(self.start, window * WINDOW_SAMPLES)
        self.scored = (window + 1) * WINDOW_SAMPLES
        if probability >= level:
            if self.first_voiced is None:
                self.first_voiced = first
            self.last_voiced = self.scored
        if self.first_voiced is not None:  # the silence before it may last for hours
            self.scores.append((window, probability))

    def stretch(self) -> Stretch | None:
        """What is worth transcribing, or None."""
        if self.first_voiced is None:
            return None
        limit = self.scored if self.end is None else self.end
        return Stretch(max(self.start, self.first_voiced - LEAD), min(limit, self.last_voiced + TAIL))

    def voice(self, stretch: Stretch) -> Voice:
        """The sign of a voice in all of it, and how much of one there is in `stretch`."""
        scores = sorted((score for _, score in self.scores), reverse=True)[:EVIDENCE_WINDOWS]
        begin = self.scores[0][0] if self.scores else 0
        first, last = stretch.first // WINDOW_SAMPLES - begin, -(-stretch.last // WINDOW_SAMPLES) - begin
        voiced = sum(score >= VOICED for _, score in self.scores[max(0, first) : max(0, last)])
        return Voice(sum(scores) / len(scores) if scores else None, voiced * WINDOW_SAMPLES / SAMPLE_RATE)

    @property
    def pausing(self) -> bool:
        return self.scored - self.last_voiced >= TAIL

    def cut_point(self) -> int | None:
        """Where this segment should end by now, if it should."""
        if self.first_voiced is None:
            return None
        length, pause = self.scored - self.first_voiced, self.scored - self.last_voiced
        if length <= SOFT_CUTS[0][0]:
            return None
        if any(length > least and pause >= enough for least, enough in SOFT_CUTS):
            return max(self.scored - pause // 2, self.last_voiced + TAIL)  # what was asked for when it began
        if length <= HARD_CUT:
            return None
        recent = [item for item in self.scores if item[0] * WINDOW_SAMPLES > self.scored - HARD_CUT_SEARCH]
        quietest = min(recent, key=lambda item: (item[1], -item[0]))
        return quietest[0] * WINDOW_SAMPLES + WINDOW_SAMPLES // 2


class Job:
    """`level`: the probability from which a window counts as voiced. `streams`: the model goes on from where it was,
    and a final request ends that; so in a pause it is asked a partial one, and the final one when the turn ended."""

    def __init__(self, item_id: str, start: int, level: float, *, streams: bool = False) -> None:
        self.item_id = item_id
        self.start = start
        self.end: int | None = None
        self.announced = False  # by speech_started: then it has to end, even if it is cleared
        self.deleted = False
        self.failure: HarkError | None = None
        self.transcript = Transcript()
        self.hints = Hints()
        self.no_speech: float | None = None
        self.last_voiced = start  # the end of the last voiced window
        self._level = level
        self._streams = streams
        self._heard_tokens = 0
        self._languages: Counter[str] = Counter()
        self._pieces: list[Piece] = []
        self._pieced = 0  # characters of the transcript that they hold
        self._failures = 0
        self._tail = NO_AUDIO
        self._segments = deque([Segment(start)])

    # ---- the turn ------------------------------------------------------------------------------------------------

    def hear(self, window: int, probability: float) -> None:
        """The next window of the turn, while it goes on."""
        if probability >= self._level:
            self.last_voiced = (window + 1) * WINDOW_SAMPLES
        if not self._segments:
            return
        segment = self._segments[-1]
        segment.hear(window, probability, self._level)
        cut = segment.cut_point()
        if cut is None:
            return
        segment.end = cut
        rest = Segment(cut)
        rest.scored = max(cut, segment.scored)
        self._segments.append(rest)
        for later, score in segment.scores:
            if (later + 1) * WINDOW_SAMPLES > cut:
                rest.hear(later, score, self._level)
        segment.last_voiced = min(segment.last_voiced, cut)

    def close(self, end: int, tail: Audio = NO_AUDIO) -> None:
        """The turn ended at sample `end`. `tail` is the last of it, as it was known then: the buffer will hold
        something else there once more has come, and the text would depend on when it is asked for."""
        self.end = end
        self._tail = tail
        if self._segments:
            last = self._segments[-1]
            last.end = max(last.start, end)

    def fail(self, error: HarkError) -> None:
        """Ask no more; the item ends as failed."""
        self.failure = error
        self._segments.clear()

    def delete(self) -> None:
        """Ask no more and say no more: the client does not want this item."""
        self.deleted = True
        self._segments.clear()

    # ---- the model -----------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        return not self._segments

    @property
    def needs_from(self) -> int | None:
        """The first sample that a request may still ask for."""
        if not self._segments:
            return None
        segment = self._segments[0]
        if segment.first_voiced is None:
            return max(segment.start, segment.scored - LEAD)
        return max(segment.start, segment.first_voiced - LEAD)

    @property
    def segment(self) -> int | None:
        """Where the segment begins that requests are about, or None if there is nothing left to ask."""
        return self._segments[0].start if self._segments else None

    def urgency(self, stretch: Stretch) -> Urgency:
        """How soon the answer about this stretch of the first segment is wanted by now."""
        if not self._segments or stretch != self._segments[0].stretch():
            return Urgency.GROWING
        if self.end is not None:
            return Urgency.ENDED
        segment = self._segments[0]
        return Urgency.PAUSED if segment.end is not None or segment.pausing else Urgency.GROWING

    def request(self, under_way: Stretch | None = None, *, early: bool = True) -> Request | None:
        """What the model should be asked now, if anything. `under_way`: what it was asked of this segment last, and
        has not answered. `early`: whether anything is to be asked before the segment has ended."""
        if not self._segments:
            return None
        segment = self._segments[0]
        stretch = segment.stretch()
        if stretch is None or stretch == under_way or not (segment.end is not None or (early and not segment.deadly)):
            return None
        unflushed = self._unflushed(segment)
        if stretch == segment.answered and (segment.end is None or segment.hypothesis) and not unflushed:
            return None
        draft = segment.hypothesis.draft if segment.hypothesis and not segment.plain else ()
        if segment.end is not None or segment.pausing:
            return Request(stretch, segment.end is not None or not self._streams, draft, segment.plain)
        known = max((asked.last for asked in (segment.answered, under_way) if asked), default=stretch.first)
        step = max(PARTIAL_STEP, (stretch.last - stretch.first) // PARTIAL_SHARE)
        return Request(stretch, False, draft, segment.plain) if stretch.last - known >= step else None

    def audio(self, buffer: AudioBuffer, stretch: Stretch) -> Audio:
        """What the model is to hear of `stretch`."""
        if self.end is None or not len(self._tail):
            return buffer.slice(stretch.first, stretch.last)
        held = self.end - len(self._tail)
        rest = self._tail[max(0, stretch.first - held) : max(0, stretch.last - held)]
        return np.concatenate((buffer.slice(stretch.first, min(stretch.last, held)), rest))

    def answer(self, request: Request, hypothesis: Hypothesis) -> list[Token]:
        """What the model said to `request`; returns the tokens that are settled by it."""
        if not self._segments:
            return []
        self._failures = 0
        segment = self._segments[0]
        segment.answered, segment.flushed = request.stretch, request.final
        if foreign(hypothesis, self.hints):
            segment.plain = True
            if request.final and not request.plain and self._has_led(request):
                segment.hypothesis = None  # so that it is asked for once more
                return []
        hypothesis = checked(hypothesis, segment.voice(request.stretch), self.hints)
        hypothesis = segment.hypothesis = _placed(hypothesis, request.stretch.first)
        return [] if self._is_final(segment) else self.transcript.add_partial(hypothesis)

    def _has_led(self, request: Request) -> bool:
        """Whether the engine was told something that it might do without."""
        return bool(self.hints.prompt or self.hints.keywords or request.draft)

    def refuse(self, request: Request, error: HarkError) -> None:
        """The model failed on `request`: a partial one waits for more audio, a final one is asked once more. What its
        process did not survive would end another with each partial request, and others wait for that process too."""
        if not self._segments:
            return
        segment = self._segments[0]
        deadly = isinstance(error, ModelError) and error.deadly
        segment.deadly |= deadly
        self._failures += request.final or deadly
        lasting = isinstance(error, ModelError) and error.lasting and request.final and segment.end is not None
        if self._failures > MAX_FAILURES or lasting:
            self.fail(error)
        else:
            segment.answered, segment.hypothesis = request.stretch, None

    def settle(self) -> list[Token]:
        """End every segment whose final text is known; returns the tokens that are settled by it."""
        settled: list[Token] = []
        while self._segments and self._is_final(self._segments[0]):
            segment = self._segments.popleft()
            hypothesis = segment.hypothesis if segment.stretch() else None
            hypothesis = hypothesis or Hypothesis(())
            self._note(hypothesis)
            settled += self.transcript.add_final(hypothesis)
            self._add_piece(segment.stretch())
        return settled

    def _note(self, hypothesis: Hypothesis) -> None:
        self._heard_tokens += len(hypothesis.tokens)
        if hypothesis.language is not None and hypothesis.tokens:
            self._languages[hypothesis.language] += len(hypothesis.tokens)
        if hypothesis.no_speech is not None:
            self.no_speech = min(hypothesis.no_speech, 1.0 if self.no_speech is None else self.no_speech)

    def languages(self, asked: str | None) -> tuple[str, ...]:
        """Those that the engine says it heard, the one most spoken first, or else the one that it was asked for."""
        if not self.transcript.text:
            return ()
        return tuple(code for code, _ in self._languages.most_common()) or ((asked,) if asked else ())

    def take_pieces(self) -> list[Piece]:
        """The stretches with words that have ended since the last call."""
        pieces, self._pieces = self._pieces, []
        return pieces

    def _add_piece(self, stretch: Stretch | None) -> None:
        text, self._pieced = self.transcript.text[self._pieced :].strip(), len(self.transcript.text)
        if stretch is not None and text:
            self._pieces.append(Piece(stretch, text))

    def _unflushed(self, segment: Segment) -> bool:
        """Whether the last chunk of a segment that has ended may still be in the model."""
        return self._streams and segment.end is not None and not segment.flushed

    def _is_final(self, segment: Segment) -> bool:
        if segment.end is None:
            return False
        stretch = segment.stretch()
        if stretch is None:
            return True
        return stretch == segment.answered and segment.hypothesis is not None and not self._unflushed(segment)

    def usage(self, kind: str) -> Usage:
        """Audio counts 10 tokens a second (contract D.4), the prompt and the keywords about 4 characters a token."""
        assert self.end is not None
        told = ", ".join(filter(None, (self.hints.prompt, *self.hints.keywords)))
        samples = self.end - self.start
        return Usage(
            kind="tokens" if kind == "tokens" else "duration",
            seconds=samples / SAMPLE_RATE,
            input_text_tokens=-(-len(told) // 4),
            input_audio_tokens=-(-samples * 10 // SAMPLE_RATE),
            output_tokens=self._heard_tokens,
        )


def _placed(hypothesis: Hypothesis, first: int) -> Hypothesis:
    """The same with the times of its tokens counted from the start of the session's audio, not of the stretch's."""
    if all(token.start is None and token.end is None for token in hypothesis.tokens):
        return hypothesis
    tokens = (
        structs.replace(
            token,
            start=None if token.start is None else first + token.start,
            end=None if token.end is None else first + token.end,
        )
        for token in hypothesis.tokens
    )
    return structs.replace(hypothesis, tokens=tuple(tokens))
