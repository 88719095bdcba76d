"""Whether one more session fits: the rule alone, and a server that is full as its clients meet it."""

import asyncio
import threading
import time
from contextlib import ExitStack

import httpx
import pytest

from hark.auth.principal import ANONYMOUS
from hark.auth.store import Store
from hark.core.work import Strain
from hark.edge.admission import (
    ENOUGH,
    GUESS,
    LAGS,
    LOOK_S,
    LOOKS,
    MOST_FINAL,
    MOST_LAG_S,
    MOST_LATE,
    MOST_SCORES_WAIT_S,
    MOST_WAIT_S,
    Admission,
)
from hark.edge.limits import Limits
from hark.errors import OverloadedError
from hark.models.base import EngineModel, ModelSpec
from hark.models.catalog import installed
from hark.models.scripted import ScriptedEngine
from serving import COMPLETED, PATIENCE_S, speech
from uploading import post


class Stage:
    """An Admission with a clock and a strain of the test's own."""

    def __init__(self, most=None):
        self.now = 1_000.0
        self.strain = Strain(callers=4)
        self.admission = Admission(lambda: self.strain, most=most, clock=lambda: self.now)

    def enter(self, live=True):
        """Whether one more was let in."""
        try:
            self.admission.enter(live=live)
        except OverloadedError:
            return False
        return True

    def settle(self, sessions):
        """So many that are old enough to show in what is measured."""
        strain, self.strain = self.strain, Strain(callers=self.strain.callers)
        for _ in range(sessions):
            self.admission.enter(live=True)
        self.strain = strain
        return self.pass_by()

    def pass_by(self, late_s=0.0):
        """As long as is looked back."""
        for _ in range(LOOKS):
            self.now += LOOK_S
            self.admission.look(late_s)
        return self


@pytest.mark.parametrize(
    ("strain", "fits"),
    [
        (Strain(), True),
        (Strain(final=0.9), True),  # early finals take what there is
        (Strain(final=0.9, late=MOST_LATE - 0.01), True),
        (Strain(final=0.9, late=MOST_LATE + 0.01), False),
        (Strain(final=0.9, wait_s=MOST_WAIT_S + 0.01), False),
        (Strain(final=0.1, wait_s=MOST_WAIT_S + 0.01), True),  # one long partial on a small machine
        (Strain(scores_wait_s=MOST_SCORES_WAIT_S + 0.01), False),
    ],
)
def test_what_counts_as_room(strain, fits):
    stage = Stage().settle(20)
    stage.strain = strain
    assert stage.enter() == fits
    assert stage.enter(live=False) == fits


def test_the_first_session_is_always_let_in():
    stage = Stage()
    stage.strain = Strain(late=1.0, final=1.0, wait_s=9.0, scores_wait_s=9.0)
    assert stage.enter()
    assert not stage.enter()
    stage.admission.leave()
    assert stage.enter()


def test_a_late_event_loop_has_no_room_and_one_hitch_says_nothing():
    stage = Stage().settle(1)
    for late_s, looks, fits in ((2 * MOST_LAG_S, LAGS // 2, True), (2 * MOST_LAG_S, 1, False), (0.0, LAGS, True)):
        for _ in range(looks):
            stage.admission.look(late_s)
        assert stage.enter() == fits
        stage.admission.leave() if fits else None


def test_who_comes_at_once_to_a_cold_server_is_counted_by_a_guess():
    stage = Stage()
    assert sum(stage.enter() for _ in range(1_000)) == int(MOST_FINAL * 4 / GUESS)


def test_who_comes_at_once_to_a_warm_one_is_counted_by_what_the_others_cost():
    stage = Stage()
    stage.strain = Strain(final=0.5, callers=4)
    stage.settle(10)  # 0.05 each
    assert sum(stage.enter() for _ in range(1_000)) == 12  # 0.5 + 12 * 0.05 is 1.1
    stage.pass_by()
    assert stage.enter(), "they were silent, or they show in what is measured now"


def test_who_comes_back_after_all_were_cut_off_finds_the_room_that_they_left():
    stage = Stage()
    stage.strain = Strain(final=0.9, late=0.2, wait_s=0.6, scores_wait_s=0.3, callers=4)
    stage.settle(90)  # 0.01 each
    assert not stage.enter()
    for _ in range(90):
        stage.admission.leave()
    assert all(stage.enter() for _ in range(45)), "nothing of what was measured is of them"


def test_a_few_sessions_do_not_tell_what_one_costs():
    stage = Stage()
    stage.strain = Strain(final=1.0, callers=1)
    stage.settle(ENOUGH - 1)
    assert sum(stage.enter() for _ in range(1_000)) == round((MOST_FINAL - 1.0) / GUESS)


def test_a_new_gateway_counts_a_session_at_what_it_costs_workers_that_others_use_too():
    stage = Stage()
    stage.strain = Strain(final=0.8, callers=12, sessions=400)
    stage.settle(4)  # 0.002 each
    assert sum(stage.enter() for _ in range(1_000)) == 150, "and not 1, as if the four took all of it"


def test_what_sessions_of_other_gateways_cost_is_not_free_when_our_own_leave():
    stage = Stage()
    stage.strain = Strain(final=1.2, late=0.5, wait_s=0.6, callers=12, sessions=400)
    stage.settle(90)
    for _ in range(89):
        stage.admission.leave()
    assert not stage.enter()
    fullness = stage.admission.fullness()
    assert fullness["late"] == pytest.approx(0.5 * (1 - 89 / 400) / MOST_LATE)
    assert fullness["wait"] > 1


def test_recordings_take_no_room_but_need_some():
    stage = Stage()
    assert all(stage.enter(live=False) for _ in range(1_000))
    assert stage.enter()


def test_a_number_alone_counts():
    stage = Stage(most=2)
    stage.strain = Strain(late=1.0)
    assert [stage.enter(), stage.enter(live=False), stage.enter()] == [True, True, False]
    stage.admission.leave()
    assert stage.enter()


def test_the_refusal_says_why_and_when_to_come_back():
    stage = Stage(most=1).settle(1)
    with pytest.raises(OverloadedError, match="no room for another session: --max-sessions allows 1") as caught:
        stage.admission.enter(live=True)
    error = caught.value
    assert (error.code, error.type, error.status, error.retry_after_s) == ("server_overloaded", "server_error", 429, 10)


def test_who_is_refused_counts_for_nobody(tmp_path):
    async def scenario():
        limits = Limits(Store(tmp_path), admission=Admission(Strain, most=1))
        for _ in range(3):
            async with limits.session(ANONYMOUS):
                for live in (True, False):
                    with pytest.raises(OverloadedError):
                        async with limits.session(ANONYMOUS, live=live):
                            pass
        await limits.stop()

    asyncio.run(scenario())


# ---- a full server


def refused(wire):
    (event,), code, reason = wire.ending()
    return event["error"]["type"], event["error"]["code"], event["error"]["param"], code, reason


REFUSED = ("server_error", "server_overloaded", None, 1013, "server_error.server_overloaded")


def test_a_full_server_says_so_on_every_transport(serve, dialect):
    server = serve(max_sessions=1)
    with server.session(dialect) as wire:
        with server.socket() as another:
            assert refused(another) == REFUSED
        offer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n"
        call = httpx.post(
            f"{server.url}/v1/realtime/calls?intent=transcription",
            content=offer,
            headers={"Content-Type": "application/sdp"},
        )
        for answer in (call, post(server)):
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
            assert answer.json()["error"]["code"] == "server_overloaded"
        minted = httpx.post(f"{server.url}/v1/realtime/client_secrets", json={})
        assert minted.status_code == 200, "a secret takes no room"
        assert wire.hear("alpha", "bravo") == "alpha bravo"
        wire.send("session.close")
        wire.ending()
    assert post(server).status_code == 200


class Slow(ScriptedEngine):
    """Takes as long as it is told to."""

    def __init__(self):
        self.seconds = 0.0
        self.lock = threading.Lock()

    def transcribe(self, batch):
        with self.lock:
            time.sleep(self.seconds)
        return super().transcribe(batch)


@pytest.fixture
def slow(monkeypatch):
    engine = Slow()
    spec = ModelSpec("slow", "Takes its time.", "MIT", max_batch=1, own_process=False)
    monkeypatch.setattr("hark.app.installed", lambda: installed() | {"slow": EngineModel(spec, lambda options: engine)})
    return engine


@pytest.mark.here
def test_a_server_that_falls_behind_lets_nobody_in_and_loses_nothing(serve, slow):
    """Each transcript takes longer than its turn, and several sessions say turn after turn."""
    words, turns = ("alpha", "bravo"), 4
    server = serve(model="slow")
    slow.seconds = 0.5
    with ExitStack() as stack:
        wires = [stack.enter_context(server.session()) for _ in range(6)]
        for wire in wires:
            wire.append(speech(*words, pause_s=0.8) * turns)
        patient_until = time.monotonic() + PATIENCE_S
        while lets_in(server):
            assert time.monotonic() < patient_until, "it was never full"
        slow.seconds = 0.0
        for wire in wires:
            heard = [wire.until(COMPLETED)[-1]["transcript"] for _ in range(turns)]
            assert heard == [" ".join(words)] * turns


def lets_in(server):
    with server.socket() as wire:
        return wire.receive()["type"] != "error"
