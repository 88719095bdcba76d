"""Several people who talk to one server while something happens to it, and what must hold of all that they were told.

Rule: the audio is real speech, played no slower than it was spoken, and every session asks for `delay` "xhigh". For a
word that was shown stays, so with a quicker delay the text of a turn may depend on which partial hypotheses were
answered in time, as it does on any slow machine (docs/accuracy.md). With this one the words of these clips were the
same for every one of 3,000 random choices of hypotheses, so whatever differs from an undisturbed run was lost or made
up.
"""

import socket
import threading
import time
from dataclasses import dataclass, field

import numpy as np
from websockets.exceptions import ConnectionClosed

from hark.audio.formats import encode
from listening import COMMITTED, DELTA, STARTED, configure, next_event, server_vad, silence, turns_of
from serving import COMPLETED

FAILED = "conversation.item.input_audio_transcription.failed"
RATE = 16_000
CHUNK_S = 0.1
FASTER = 2.0  # than it was spoken
PATIENCE_S = 90


@dataclass
class Talk:
    """What one session was told, each event with the time of this machine's steady clock; `fault`: how it broke off."""

    told: list = field(default_factory=list)
    fault: Exception | None = None

    @property
    def events(self):
        return [event for _, event in self.told]

    def first(self, after, *kinds):
        """When the first event of these kinds came after this time, or None."""
        return next((at for at, event in self.told if at > after and event["type"] in kinds), None)


class Talker(threading.Thread):
    """Plays `audio` (float32 at 16 kHz) once and hears what comes, to the end of every turn that it began. `begin` is
    called in its thread first."""

    def __init__(self, server, audio, *, key=None, model=None, late_s=0.0, faster=FASTER, begin=lambda: None):
        super().__init__(daemon=True)
        self._faster = faster
        self._server, self._key, self._model, self._late_s, self._begin = server, key, model, late_s, begin
        self._pcm = encode(np.concatenate([audio, silence(1)]), "pcm16")
        self.talk = Talk()
        self.speaking = threading.Event()  # since some word of it was heard

    def run(self):
        try:
            self._begin()
            time.sleep(self._late_s)
            headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            self._talk(headers)
        except (ConnectionClosed, AssertionError, OSError) as fault:
            self.talk.fault = fault
        finally:
            self.speaking.set()

    def _talk(self, headers):
        with self._server.socket(additional_headers=headers) as wire:
            self._begin_on(wire)
            self._play(wire)
            self._finish(wire)

    def _begin_on(self, wire):
        self._told(wire.receive())
        chosen = {"delay": "xhigh"} | ({"model": self._model} if self._model else {})
        configure(wire, "ga", detection=server_vad(500), transcription=chosen)

    def _told(self, event):
        self.talk.told.append((time.monotonic(), event))
        if event["type"] in (STARTED, DELTA):
            self.speaking.set()

    def _play(self, wire, first=0, last=None):
        """The bytes from `first` to `last`."""
        size = round(CHUNK_S * RATE) * 2
        began = time.monotonic()
        last = len(self._pcm) if last is None else last
        for number, at in enumerate(range(first, last, size), 1):
            wire.append(self._pcm[at : min(at + size, last)])
            due = began + number * CHUNK_S / self._faster
            while (left := due - time.monotonic()) > 0:
                if event := next_event(wire, left):
                    self._told(event)

    def _finish(self, wire):
        wire.send("session.update", session={"type": "transcription"})
        deadline = time.monotonic() + PATIENCE_S
        updated = False
        while not updated or unended(self.talk.events):
            assert time.monotonic() < deadline, f"no end came for {unended(self.talk.events)}"
            if event := next_event(wire, 1.0):
                self._told(event)
                updated = updated or event["type"] == "session.updated"


class Returning(Talker):
    """Loses its connection after each of so many seconds of audio, and comes back to its session."""

    CUT_AFTER_S = (3.0, 5.5)

    def _talk(self, headers):
        at, target = 0, "/v1/realtime?intent=transcription"
        for cut_s in (*self.CUT_AFTER_S, None):
            with self._server.socket(target, additional_headers=headers) as wire:
                if at:
                    created = wire.receive()
                    assert not created["resumed"]["events_missed"]
                    at = created["resumed"]["audio_end_ms"] * RATE // 1000 * 2
                else:
                    self._begin_on(wire)
                    session = self.talk.events[0]["session"]["id"]
                self._play(wire, at, None if cut_s is None else round(cut_s * RATE) * 2)
                if cut_s is None:
                    self._finish(wire)
                    return
                wire.socket.socket.shutdown(socket.SHUT_RDWR)
                at = -1
            target = f"/v1/realtime?intent=transcription&resume={session}&after={self.talk.events[-1]['event_id']}"


class Company:
    """Talkers beside each other. Leaving the context waits until all of them have ended."""

    def __init__(self, server, clips, *, kind=Talker, **options):
        self.talkers = [kind(server, clip, late_s=0.3 * at, **options) for at, clip in enumerate(clips)]

    def __enter__(self):
        for talker in self.talkers:
            talker.start()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.wait()

    def wait(self):
        """Until all have ended."""
        for talker in self.talkers:
            talker.join(PATIENCE_S)

    def wait_for_words(self):
        """Until each of them is in the middle of a turn, or was."""
        for talker in self.talkers:
            assert talker.speaking.wait(PATIENCE_S)

    @property
    def talks(self):
        return [talker.talk for talker in self.talkers]

    def longest_wait_s(self):
        """From the end of a turn, as its client was told of it, to its transcript: the longest of all."""
        ends = [
            {event["item_id"]: at for at, event in talk.told if event["type"] == kind}
            for talk in self.talks
            for kind in (COMMITTED, COMPLETED)
        ]
        return max(
            done - committed[item]
            for committed, completed in zip(ends[::2], ends[1::2], strict=True)
            for item, done in completed.items()
        )

    def recovery_s(self, since, *kinds, after=None):
        """Seconds from `since` until some talker heard text or the end of a turn, or another of `kinds`. `after`: what
        came before this time does not count."""
        firsts = [talk.first(since if after is None else after, *(kinds or (DELTA, COMPLETED))) for talk in self.talks]
        found = [at for at in firsts if at is not None]
        assert found, "nothing was heard after the fault"
        return min(found) - since


def unended(events):
    """The items that were announced and have no end."""
    ended = {event["item_id"] for event in events if event["type"] in (COMPLETED, FAILED)}
    return {event["item_id"] for event in events if event["type"] in (STARTED, COMMITTED, DELTA)} - ended


def account(events):
    """Every item that was announced has exactly one end, in order, and no other event of text after it."""
    ends = [event["item_id"] for event in events if event["type"] in (COMPLETED, FAILED)]
    assert len(ends) == len(set(ends)), "an item ended twice"
    assert not unended(events), "an item never ended"
    announced = [turn.item_id for turn in turns_of(events)]
    assert ends == announced, "items ended in another order than they began"
    for turn in turns_of(events):
        assert turn.kinds[-1] in (COMPLETED, FAILED)
        if turn.kinds[-1] == COMPLETED:
            assert "".join(event["delta"] for event in turn.deltas) == turn.text
    assert [event for event in events if event["type"] == "error"] == []


def said(events):
    """What an undisturbed run must have in common with this one: each turn's text and times."""
    return [(turn.text, *turn.times) if turn.kinds[-1] == COMPLETED else FAILED for turn in turns_of(events)]


def same_as(expected, company):
    """All that must hold of sessions that a fault was not to harm. `expected`: what each says undisturbed."""
    for talk, words in zip(company.talks, expected, strict=True):
        assert talk.fault is None, talk.fault
        account(talk.events)
        assert said(talk.events) == words


def until(condition, patience_s=PATIENCE_S, what="it did not come about"):
    """Wait for it; what it gave."""
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
    return found
