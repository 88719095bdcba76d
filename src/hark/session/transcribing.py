"""The jobs of a session, in order: who asks next, what the answers say to the client.

Rule: only the first job asks for transcripts and only it speaks, so an item's end precedes the next item's first delta
(contract fact 7). Every item whose speech was announced or that was committed ends in exactly one `completed` or
`failed`, unless the client deleted it. A request that no model has begun on never holds up a better one: each takes the
place of the one before it, and is urged as its turn goes on or ends. A recording is asked about once it is known what,
for nobody reads along.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from hark.core.messages import Event, TranscriptCompleted, TranscriptDelta, TranscriptFailed
from hark.core.settings import LOGPROBS, ModelCard, SessionSettings
from hark.core.work import Result, Token, Transcribe, Transcribed, Urge, Urgency, WorkFailed, to_ms
from hark.errors import HarkError, ModelError
from hark.session.buffer import AudioBuffer
from hark.session.hints import Hints
from hark.session.items import Items
from hark.session.jobs import Job, Request
from hark.session.lane import Lane, Succession
from hark.session.pace import PaceCheck
from hark.session.speakers import Diarization, Known
from hark.session.transcript import USUAL, WAITS, Wait

ENGINE_PATIENCE_S: Final = 60.0


class Recipe(Struct, frozen=True):
    """How the items of a turn are to be transcribed: fixed when the turn starts."""

    card: ModelCard
    language: str | None = None
    languages: tuple[str, ...] = ()
    prompt: str | None = None
    keywords: tuple[str, ...] = ()
    logprobs: bool = False
    hints: Hints = Hints()
    wait: Wait = USUAL

    @classmethod
    def of(cls, settings: SessionSettings, card: ModelCard) -> Recipe:
        chosen, logprobs = settings.transcription, LOGPROBS in settings.include
        if chosen is None:
            return cls(card, logprobs=logprobs)
        hints, wait = Hints.of(chosen), WAITS[chosen.delay] if chosen.delay else USUAL
        known = hints.known(card)
        language = known[0] if len(known) == 1 else None
        languages = known if language is None else ()
        return cls(card, language, languages, chosen.prompt, chosen.keywords, logprobs, hints, wait)


class _Asked(Struct):
    """A request in flight, of the segment of `job` that began at `segment`."""

    job: Job
    recipe: Recipe
    request: Request
    work: Transcribe
    segment: int | None
    urgency: Urgency


class Transcribing:
    """`live`: somebody speaks and waits, so that partial hypotheses and early finals are worth their cost."""

    def __init__(
        self,
        buffer: AudioBuffer,
        items: Items,
        emit: Callable[[Event], None],
        *,
        judges_pace: bool = True,
        live: bool = True,
        known_speakers: Sequence[Known] = (),
    ) -> None:
        self.speakers = Diarization(emit, known_speakers)
        self.lane = Succession(ENGINE_PATIENCE_S)
        self._judges_pace = judges_pace
        self._live = live
        self._pace: PaceCheck | None = None
        self._notices: dict[str | None, bool] = {None: True}  # what the log should know, and whether it does
        self._buffer = buffer
        self._items = items
        self._emit = emit
        self._jobs: deque[tuple[Job, Recipe]] = deque()
        self._asked: dict[int, _Asked] = {}

    def expect_rate(self, rate: int) -> None:
        """From now on audio is declared as having so many samples a second."""
        if self._judges_pace and (self._pace is None or self._pace.rate != rate):
            self._pace = PaceCheck(rate)

    def take_notice(self) -> str | None:
        """What the log should say of the speech, once."""
        for notice, taken in self._notices.items():
            if not taken:
                self._notices[notice] = True
                return notice
        return self._pace.take_notice() if self._pace else None

    @property
    def lanes(self) -> tuple[Succession, Lane]:
        """Where answers are awaited."""
        return self.lane, self.speakers.lane

    @property
    def busy(self) -> bool:
        return bool(self._jobs)

    @property
    def needs_from(self) -> int | None:
        """The first sample that some job may still ask for."""
        needs = [need for job, _ in self._jobs if (need := job.needs_from) is not None]
        return min(needs, default=None)

    def open(self, job: Job, recipe: Recipe) -> None:
        job.hints, job.transcript.wait = recipe.hints, recipe.wait
        self._jobs.append((job, recipe))
        if (notice := recipe.hints.notice(recipe.card)) not in self._notices:
            self._notices[notice] = False

    def find(self, item_id: str) -> Job | None:
        return next((job for job, _ in self._jobs if job.item_id == item_id), None)

    def request(self, work_id: int, now: float) -> Transcribe | None:
        """The next request for a transcript, if one is due."""
        if not self._jobs:
            return None
        job, recipe = self._jobs[0]
        newest = self._newest()
        ours = newest is not None and newest.job is job and newest.segment == job.segment
        early = self._live and recipe.card.partials
        request = job.request(newest.request.stretch if newest and ours else None, early=early)
        if request is None:
            return None
        work = Transcribe(
            id=work_id,
            engine=recipe.card.engine,
            audio=job.audio(self._buffer, request.stretch),
            urgency=self._urgency(job, request),
            language=recipe.language,
            languages=recipe.languages,
            prompt=None if request.plain else recipe.prompt,
            keywords=() if request.plain else recipe.keywords,
            final=request.final,
            draft=request.draft,
            replaces=self.lane.latest,
        )
        self.lane.launch(work_id, now)
        self._asked[work_id] = _Asked(job, recipe, request, work, job.segment, work.urgency)
        return work

    def urge(self) -> Urge | None:
        """What was asked last is wanted sooner or later than it was."""
        newest = self._newest()
        if newest is None:
            return None
        urgency = self._urgency(newest.job, newest.request) if newest.segment == newest.job.segment else Urgency.GROWING
        if urgency == newest.urgency:
            return None
        newest.urgency = urgency
        return Urge(newest.work.id, urgency)

    def _newest(self) -> _Asked | None:
        return next(reversed(self._asked.values()), None)

    def _urgency(self, job: Job, request: Request) -> Urgency:
        return job.urgency(request.stretch) if self._live else Urgency.GROWING

    def request_trial(self, work_id: int, now: float) -> Transcribe | None:
        """A request that serves the log alone, while nothing else is asked."""
        return self._pace.request(work_id, now) if self._pace and self.lane.idle else None

    def accept(self, result: Result) -> None:
        if self.speakers.accept(result):
            return
        if self.lane.settle(result):
            asked = self._asked[result.id]
            for work_id in [work_id for work_id in self._asked if work_id <= result.id]:
                del self._asked[work_id]
            self._answered(asked, result.error if isinstance(result, WorkFailed) else result)
        elif self._pace:
            self._pace.accept(result)

    def give_up(self, now: float) -> None:
        """On what was not answered in time."""
        if self.lane.overdue(now):
            self._give_up_transcript()
        if self.speakers.lane.overdue(now):
            self.speakers.give_up()

    def abandon(self) -> None:
        """Every item that was announced or committed ends here, with what is known of it."""
        message = "The session was over before the model had transcribed this audio."
        while self._jobs:
            job, recipe = self._jobs.popleft()
            if job.announced or job.end is not None:
                job.failure = job.failure or ModelError(message)
                self._finish(job, recipe)

    def _give_up_transcript(self) -> None:
        asked = self._newest()
        self.lane.abandon()
        self._asked.clear()
        if asked is not None:
            self._answered(asked, ModelError(f"The model did not answer within {ENGINE_PATIENCE_S:.0f} s."))

    def _answered(self, asked: _Asked, answer: Result | HarkError) -> None:
        job, request = asked.job, asked.request
        if asked.segment != job.segment:
            return  # which has ended without it
        if isinstance(answer, Transcribed):
            if self._pace and request.final:
                self._pace.hear(asked.work, answer.hypothesis)
            self._say(job, asked.recipe, job.answer(request, answer.hypothesis))
        else:
            error = answer if isinstance(answer, HarkError) else ModelError("The model gave something else than text.")
            job.refuse(request, error)

    def advance(self) -> None:
        """End what can be ended."""
        while self._jobs:
            job, recipe = self._jobs[0]
            self._say(job, recipe, job.settle())
            if recipe.card.diarizes:
                for piece in job.take_pieces():
                    self.speakers.add(job, piece, job.audio(self._buffer, piece.stretch))
            if job.end is None or not job.finished or self.speakers.waits_for(job):
                return
            self._jobs.popleft()
            self._finish(job, recipe)

    def _say(self, job: Job, recipe: Recipe, tokens: list[Token]) -> None:
        text = "".join(token.text for token in tokens)
        if text and not job.deleted and job.failure is None:
            self._emit(TranscriptDelta(job.item_id, text, tuple(tokens) if recipe.logprobs else None))

    def _finish(self, job: Job, recipe: Recipe) -> None:
        if job.deleted:
            return
        if job.failure is not None:
            self._emit(TranscriptFailed(job.item_id, job.failure))
            return
        assert job.end is not None
        transcript = job.transcript
        self._items.set_transcript(job.item_id, transcript.text)
        self._emit(
            TranscriptCompleted(
                item_id=job.item_id,
                transcript=transcript.text,
                usage=job.usage(recipe.card.usage),
                audio_start_ms=to_ms(job.start),
                audio_end_ms=to_ms(job.end),
                tokens=tuple(transcript.tokens) if recipe.logprobs else None,
                words=transcript.words,
                languages=job.languages(recipe.language) if recipe.card.languages else None,
                no_speech=job.no_speech,
            )
        )
