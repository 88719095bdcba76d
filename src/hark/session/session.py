"""The only door to a session: `receive` a command or a result, drain `outputs`, obey `next_timer`.

Theory. Commands take effect in the order in which they came. One that is no append waits until every whole window of
the audio before it has been scored and decided (the commit barrier), and what came after waits behind it; so what a
commit covers is decided by counting samples, never by how fast anything ran. Three lanes ask for work, each with one
request that counts: for voice scores, for judgements of pauses, and for transcripts.

    append   -> front end -> windows with scores -> listening: the detector, and the open job hears them too
    detector -> Started: a job is opened         Stopped: the job's end is known, its item is committed
    jobs     -> in order; only the first one asks and speaks, so items complete in order

`now` (seconds, any monotonic origin) serves deadlines and idle time-outs only. Refuses: asyncio, clocks, random ids.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, assert_never

from msgspec import structs

from hark.core import messages as m
from hark.core.settings import SessionSettings
from hark.core.work import SAMPLE_RATE, WINDOW_SAMPLES, Audio, Result, Urge, Work, to_ms, to_samples
from hark.errors import CallerError, HarkError
from hark.session import backlog
from hark.session.absence import Absence
from hark.session.buffer import require_audio
from hark.session.configuration import Configuration, FindModel
from hark.session.ending import Ending
from hark.session.frontend import FrontEnd, pieces
from hark.session.items import Items
from hark.session.itemwork import ItemWork
from hark.session.jobs import LEAD, Job, Stretch
from hark.session.listening import REMEMBERED, Listening, voice_activity
from hark.session.speakers import Known
from hark.session.transcribing import Transcribing
from hark.session.turns import ONSET_WINDOWS, Idled, Signal, Started, Stopped

NewId: TypeAlias = Callable[[str], str]
Charge: TypeAlias = Callable[[int], HarkError | None]

MAX_KEPT_AUDIO: Final = 30 * SAMPLE_RATE
FORGET_EVERY: Final = SAMPLE_RATE // 2


class Session:
    """`find_model` knows the card of a model name, the default's for None, and None for a name that nobody offers.
    `new_id` makes ids ("item" -> "item_…"). `expires_at` is Unix time, `lifetime_s` its distance on `now`'s clock.
    `charge` is told how many samples were taken in, and answers with why no more may be. `judges_pace`: whether the
    rate of the audio is a client's word, which may be wrong. `live`: whether somebody speaks and waits.
    `known_speakers`: who may be told apart by name."""

    def __init__(
        self,
        view: m.SessionView,
        *,
        find_model: FindModel,
        new_id: NewId,
        now: float,
        lifetime_s: float = 86_400.0,
        charge: Charge = lambda samples: None,
        judges_pace: bool = True,
        live: bool = True,
        known_speakers: Sequence[Known] = (),
    ) -> None:
        self.view = view
        self._configuration = Configuration(view.settings, find_model)
        self._new_id = new_id
        self._ending = Ending(now + lifetime_s)
        self._charge = charge
        self._inbox: deque[m.AnyCommand] = deque()
        self._inbox_bytes = 0  # of audio
        self._out: list[m.Event | Work | Urge] = []
        self._work_id = 0
        self._front = FrontEnd(view.settings.format, view.settings.noise_reduction)
        self._items = Items()
        self._jobs = Transcribing(
            self._front.buffer,
            self._items,
            self._out.append,
            judges_pace=judges_pace,
            live=live,
            known_speakers=known_speakers,
        )
        self._jobs.expect_rate(view.settings.format.rate)
        self._item_work = ItemWork(self._items, self._jobs, new_id)
        self._ears = Listening(self._front.buffer, view.settings.turn_detection)
        self._open: Job | None = None
        self._floor = 0  # samples before this one were committed or cleared
        self._forget_from = 0
        self._absence = Absence()
        self._stirred = False  # whether there was more than an append, which moves the front end and nothing behind it
        self.ended = False
        self.behind = False  # whether the client should be kept waiting: it sent more than the models have done
        self._emit(m.SessionCreated(view))

    @property
    def id(self) -> str:
        return self.view.id

    @property
    def settings(self) -> SessionSettings:
        return self.view.settings

    @property
    def backlog_s(self) -> float:
        """Seconds of audio that were taken in and wait for a model."""
        needed, heard = self._jobs.needs_from, self._heard
        first = heard if needed is None else min(heard, needed)
        return backlog.seconds(self._front.position - first, self._inbox_bytes, self.settings.format)

    def _is_behind(self) -> bool:
        held = self._front.position - self._front.buffer.start
        much = held >= backlog.MAX_BACKLOG_S * SAMPLE_RATE or self._inbox_bytes > 0  # what waits is held
        return (much and self.backlog_s >= backlog.MAX_BACKLOG_S) or len(self._inbox) >= backlog.MAX_WAITING

    def take_notice(self) -> str | None:
        """What the log should say of the audio, once."""
        return self._front.take_notice() or self._ears.take_notice() or self._jobs.take_notice()

    # ---- the five verbs ------------------------------------------------------------------------------------------

    def receive(self, message: m.AnyCommand | Result, now: float) -> None:
        if self.ended:
            return
        if self.behind:
            self._absence.heard(now)
        match message:
            case _ if not isinstance(message, m.Command):
                self._jobs.accept(message)
                self._ears.accept(message)
                self._hear(self._front.accept(message))
                self._stirred = True
            case m.AbandonSession():
                self._inbox.clear()
                self._ending.abandon()
                self._jobs.abandon()
            case _ if self._ending.last is not None and not isinstance(message, m.ClientBack):
                return  # what follows the last command, or the end of the session's time, is not heard any more
            case m.AppendAudio():
                self._absence.heard(now)
                self._inbox_bytes += len(message.audio)
                self._inbox += pieces(message)
            case m.FinishSession() if not self._ending.ask(message):
                pass  # not yet
            case m.ClientAway() | m.ClientBack():
                self._absence.away(isinstance(message, m.ClientAway), now)
                self._inbox.append(message)
            case _:
                self._inbox.append(message)
        self._advance(now)

    def outputs(self) -> list[m.Event | Work | Urge]:
        """What happened and what is asked since the last call."""
        drained = self._out[:]
        self._out.clear()  # and kept: the jobs write to it
        return drained

    def next_timer(self) -> float | None:
        """When `handle_timer` wants to be called, on the clock of `now`."""
        if self.ended:
            return None
        timers = [lane.deadline for lane in (self._front.lane, self._ears.lane, *self._jobs.lanes)]
        timers += [self._ending.deadline, self._stall_deadline()]
        return min((timer for timer in timers if timer is not None), default=None)

    def handle_timer(self, now: float) -> None:
        if self.ended:
            return
        if self._front.lane.overdue(now):
            self._hear(self._front.give_up())
        if self._ears.lane.overdue(now):
            self._ears.give_up()
            self._hear([])
        self._jobs.give_up(now)
        if (stall := self._stall_deadline()) is not None and now >= stall:
            self._end_turn()
        if self._ending.expire(now):
            self._inbox.append(m.FinishSession())
        self._stirred = True
        self._advance(now)

    # ---- progress ------------------------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        while self._inbox and self._ready(self._inbox[0]):
            command = self._inbox.popleft()
            self._stirred = self._stirred or not isinstance(command, m.AppendAudio)
            try:
                self._execute(command)
            except HarkError as error:
                shows = command.shows if isinstance(command, m.UpdateSettings) else None
                self._emit(m.Refused(error, command.event_id, shows))
        if self._stirred:
            self._jobs.advance()
        self._ask(self._front.request(self._work_id, now))
        if self._stirred:
            for request in (self._judge, self._jobs.request, self._jobs.request_trial, self._jobs.speakers.request):
                self._ask(request(self._work_id, now))
            self._ask(self._jobs.urge())
            if self._front.buffer.end >= self._forget_from:
                self._forget()
            self._stirred = False
        if self._ending.wanted and self._quiet:
            self._ending.leave()
        if self._ending.last is not None and not self._inbox and not self._jobs.busy:
            self.ended = True
            self._emit(self._ending.last)
        self.behind = self._is_behind()

    def _ask(self, work: Work | Urge | None) -> None:
        if work is not None:
            self._work_id += 1
            self._out.append(work)

    def _ready(self, command: m.AnyCommand) -> bool:
        return not self._front.full if isinstance(command, m.AppendAudio) else self._decided

    def _hear(self, windows: list[tuple[int, float]]) -> None:
        self._out += voice_activity(self.settings, windows)
        for window, probability, signal in self._ears.hear(windows):
            if self._open is not None:
                self._open.hear(window, probability)
            if signal is not None:
                self._obey(signal)

    def _judge(self, work_id: int, now: float) -> Work | None:
        return self._ears.request(work_id, now, self._open.start if self._open else self._heard)

    @property
    def _heard(self) -> int:
        """The samples before this one have been scored, and the detector has heard them."""
        return self._front.scored - self._ears.held_samples

    @property
    def _decided(self) -> bool:
        return self._front.caught_up and self._ears.caught_up

    @property
    def _quiet(self) -> bool:
        """Whether nobody is in the middle of a turn."""
        uncommitted = self.settings.turn_detection is None and self._front.position > self._floor
        return self._open is None and not self._inbox and self._decided and not uncommitted

    def _obey(self, signal: Signal) -> None:
        match signal:
            case Started():
                job = self._start_job(signal.start)
                for window, probability in self._ears.recent:
                    if (window + 1) * WINDOW_SAMPLES > signal.speech_start:
                        job.hear(window, probability)
                self._announce(job)
            case Stopped():
                self._stop_turn(signal.end)
            case Idled():
                job = self._start_job(signal.start)
                self._emit(m.SilenceTimedOut(job.item_id, to_ms(signal.start), to_ms(signal.end)))
                self._commit(signal.end)
            case _:
                assert_never(signal)

    def _start_job(self, start: int) -> Job:
        recipe, level = self._configuration.recipe(), self._ears.detector.voiced_level
        self._open = Job(self._new_id("item"), start, level, streams=recipe.card.streams)
        self._jobs.open(self._open, recipe)
        return self._open

    def _announce(self, job: Job) -> None:
        if self._ears.detector.announces and not job.announced:
            job.announced = True
            self._emit(m.SpeechStarted(job.item_id, to_ms(job.start)))

    def _stop_turn(self, end: int) -> None:
        assert self._open is not None
        self._emit(m.SpeechStopped(self._open.item_id, to_ms(end)))
        self._commit(end)

    def _end_turn(self) -> None:
        """End the open turn where the audio ends, whatever the detector waits for."""
        position = self._front.position
        if self._ears.detector.announces:
            self._stop_turn(position)
        else:
            self._commit(position)
        self._ears.detector.rest(position)

    def _commit(self, end: int) -> None:
        """End the open turn at sample `end` and make its item; where nobody spoke, the item is empty."""
        job = self._open or self._start_job(self._floor)
        job.close(end, self._front.tail_until(end))
        item = m.Item(job.item_id)
        previous = self._items.add(item, self._whole(job, end))
        self._emit(m.AudioCommitted(job.item_id, previous))
        self._emit(m.ItemAdded(item, previous))
        self._open = None
        self._floor = end

    def _whole(self, job: Job, end: int) -> Audio | None:
        """The audio of the turn that ended at `end`, unless it is long."""
        return None if end - job.start > MAX_KEPT_AUDIO else job.audio(self._front.buffer, Stretch(job.start, end))

    def _forget(self) -> None:
        """Drop audio that nothing can ask for any more."""
        detection = self.settings.turn_detection
        before_speech = max(LEAD, to_samples(detection.prefix_padding_ms if detection else 0))
        idle = self._heard - before_speech - (ONSET_WINDOWS + 1) * WINDOW_SAMPLES
        keep = min(idle, self._jobs.needs_from if self._jobs.needs_from is not None else idle)
        if self._open is not None:
            keep = min(keep, self._heard - REMEMBERED)
        # The item that is to come may be asked for, and a commit makes one of silence too.
        for begins in (self._open.start,) if self._open else (self._floor, self._ears.detector.silence_from):
            if begins is not None and self._front.position - begins <= MAX_KEPT_AUDIO:
                keep = min(keep, begins)
        self._front.buffer.drop_before(keep)
        self._forget_from = self._front.buffer.end + FORGET_EVERY

    # ---- commands ------------------------------------------------------------------------------------------------

    def _execute(self, command: m.AnyCommand) -> None:
        match command:
            case m.AppendAudio():
                self._append(command)
            case m.CommitAudio():
                self._commit_by_client()
            case m.ClearAudio():
                self._clear()
            case m.UpdateSettings():
                self._update(command)
            case m.RetrieveItem() | m.DeleteItem() | m.TruncateItem() | m.CreateItem():
                self._emit(self._item_work.execute(command, self.settings.format))
            case m.CreateResponse():
                self._emit(m.ResponseRefused(self._new_id("resp")))
            case m.FinishSession():
                if self._open is not None:
                    self._end_turn()
            case m.ClientBack():
                self._front.realign()
                self._emit(m.SessionResumed(self.view, to_ms(self._front.position)))
            case m.Refuse():
                raise command.error
            case m.ClientAway() | m.AbandonSession() | m.Ignored():
                pass
            case _:
                assert_never(command)

    def _append(self, command: m.AppendAudio) -> None:
        self._inbox_bytes -= len(command.audio)
        before = self._front.position
        self._front.append(command.audio, command.format or self.settings.format)
        if fault := self._charge(self._front.position - before):  # no more is heard; what came is told to its end
            self._ending.overdraw(fault)
            back = [command for command in self._inbox if isinstance(command, m.ClientBack)]
            self._inbox, self._inbox_bytes = deque([m.FinishSession(), *back]), 0

    def _commit_by_client(self) -> None:
        position = self._front.position
        require_audio(position - self._floor)
        self._commit(position)
        self._ears.detector.rest(position)

    def _clear(self) -> None:
        self._emit(m.AudioCleared())
        self._floor = self._front.position
        self._ears.detector.rest(self._floor)
        job, self._open = self._open, None
        if job is not None:
            job.close(self._floor)
            if not job.announced:
                job.delete()
            message = "The audio of this item was cleared by the client before it was committed."
            job.fail(CallerError(message, code="input_audio_buffer_cleared"))

    def _update(self, command: m.UpdateSettings) -> None:
        before = self.settings
        self._configuration.update(command.patch)
        settings = self._configuration.settings
        self.view = structs.replace(self.view, settings=settings)
        self._front.switch(settings.format, settings.noise_reduction)
        self._jobs.expect_rate(settings.format.rate)
        self._emit(m.SessionUpdated(self.view, command.shows))
        if settings.turn_detection != before.turn_detection:
            self._swap_detector()

    def _swap_detector(self) -> None:
        self._ears.switch(self.settings.turn_detection, self._floor, self._heard)
        if self._open is not None:
            self._ears.detector.carry_on(self._open.last_voiced)
            self._announce(self._open)

    def _stall_deadline(self) -> float | None:
        """When the open turn ends for want of audio; never while scores are awaited or the client kept waiting."""
        if self._open is None or not self._ears.detector.announces:
            return None
        ours = self._inbox or not self._decided or self.behind
        return None if ours else self._absence.deadline

    def _emit(self, event: m.Event) -> None:
        self._out.append(event)
