"""A gateway's Compute over real gRPC: to workers that answer, that break, that freeze, and that are not there."""

import asyncio
import socket
import threading

import numpy as np
import pytest

from hark.compute.cluster import channels, feed, remote
from hark.compute.cluster.channels import Channels
from hark.compute.cluster.remote import ClusterCompute
from hark.compute.scheduler import LocalCompute
from hark.core.work import Hypothesis, ScoreVoice, Transcribe, Transcribed, Urge, Urgency, VoiceScored, WorkFailed
from hark.errors import ModelError, OperatorError
from hark.models import scripted
from hark.models.base import EngineModel, ModelSpec
from hark.models.scripted import amplitude
from hark.telemetry.metrics import Metrics
from ways import Way

PATIENCE_S = 30
SOUND = np.concatenate((np.full(3_200, amplitude("charlie"), np.float32), np.zeros(3_456, np.float32)))
LOCAL = {model.spec.name: model for model in scripted.plugin() if not isinstance(model, EngineModel)}


class Gate:
    """An engine that waits for a test."""

    opened = threading.Event()
    batches = []  # noqa: RUF012  (those of the whole test)

    def __init__(self, options):
        pass

    def transcribe(self, batch):
        Gate.batches.append([len(utterance.audio) for utterance in batch])
        assert Gate.opened.wait(PATIENCE_S)
        return [Hypothesis((), draft=(len(utterance.audio),)) for utterance in batch]


GATE = EngineModel(ModelSpec("gate", "for these tests", "MIT", own_process=False, max_batch=8), Gate)


def over(url, tmp_path, scenario, engines=("scripted",), metrics=None, rotate_s=60.0, token=None, beside=None):
    async def run():
        local = LocalCompute(LOCAL, scorer="scripted-vad", judge="scripted-turns", folder=tmp_path, threads=1)
        to = Channels([url.removeprefix("ray://")], token=token)
        compute = ClusterCompute(local, to, rotate_s=rotate_s, notes=metrics.cluster if metrics else None)
        try:
            async with asyncio.timeout(PATIENCE_S):
                other = asyncio.ensure_future(beside()) if beside else None
                await compute.start(*engines)
                assert other is None or other.done()
                return await scenario(compute)
        finally:
            await compute.leave()
            await asyncio.to_thread(compute.stop)

    return asyncio.run(run())


class Session:
    """Who asks; results by their ids."""

    def __init__(self, compute):
        self._compute = compute
        self._loop = asyncio.get_running_loop()
        self._results = {}
        self.deliver = self._take

    def _take(self, result):
        self._of(result.id).set_result(result)

    def _of(self, number):
        return self._results.setdefault(number, self._loop.create_future())

    def ask(self, number, engine="scripted", audio=SOUND, **hints):
        self._compute.submit(Transcribe(number, engine, audio, **hints), self.deliver)
        return self._of(number)

    def answered(self, number):
        return self._of(number).done()


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


def test_transcripts_come_from_workers_and_all_else_from_here(tmp_path, hire):
    async def scenario(compute):
        session = Session(compute)
        heard = await session.ask(4)
        assert isinstance(heard, Transcribed)
        assert heard.hypothesis.text == "charlie"
        scored = asyncio.get_running_loop().create_future()
        compute.submit(ScoreVoice(3, SOUND, None), scored.set_result)
        assert isinstance(await scored, VoiceScored)
        assert compute.waiting == 0

    over(hire().url, tmp_path, scenario)


def test_a_growing_turn_is_sent_once(tmp_path, hire):
    workers = hire()

    async def scenario(compute):
        session = Session(compute)
        for number, length in enumerate((1_600, 3_200, len(SOUND))):
            await session.ask(number, audio=SOUND[:length], final=length == len(SOUND))
        sizes = [len(m.samples) // 4 for m in workers[0].received if hasattr(m, "samples") and hasattr(m, "first")]
        assert sizes == [1_600, 1_600, len(SOUND) - 3_200]

    over(workers.url, tmp_path, scenario)


def test_requests_of_many_sessions_run_together(tmp_path, hire):
    Gate.opened.clear()
    Gate.batches.clear()
    workers = hire("gate", models={"gate": GATE})

    async def scenario(compute):
        first, *sessions = [Session(compute) for _ in range(6)]
        asked = [first.ask(0, "gate")]
        await until(lambda: Gate.batches)
        asked += [session.ask(0, "gate") for session in sessions]
        await until(lambda: workers[0].waiting == 5)
        Gate.opened.set()
        await asyncio.gather(*asked)
        assert list(map(len, Gate.batches)) == [1, 5], "what came while the model was busy ran together"

    over(workers.url, tmp_path, scenario, engines=("gate",))


def _asks(workers):
    return [message for message in workers[0].received if type(message).__name__ == "Ask"]


def test_urgency_and_withdrawal_reach_the_worker(tmp_path, hire):
    Gate.opened.clear()
    Gate.batches.clear()
    workers = hire("gate", models={"gate": GATE})

    async def scenario(compute):
        first, second, third = (Session(compute) for _ in range(3))
        first.ask(0, "gate", audio=SOUND[:1_000])
        await until(lambda: Gate.batches)
        second.ask(0, "gate", audio=SOUND[:2_000], urgency=Urgency.GROWING, final=False)
        third.ask(0, "gate", audio=SOUND[:4_000], urgency=Urgency.GROWING, final=False)
        await until(lambda: len(_asks(workers)) == 3)
        compute.urge(Urge(0, Urgency.ENDED), third.deliver)
        compute.withdraw(second.deliver)
        await until(lambda: type(workers[0].received[-1]).__name__ == "Urged")
        await until(lambda: workers[0].streams == 2)
        Gate.opened.set()
        await third.ask(1, "gate", audio=SOUND[:4_100])
        assert [2_000] not in Gate.batches, "who is gone is not transcribed"
        assert not second.answered(0)

    over(workers.url, tmp_path, scenario, engines=("gate",))


def test_a_worker_that_ends_costs_nobody_anything(tmp_path, hire):
    Gate.opened.clear()
    workers = hire("gate", models={"gate": GATE}, count=2)
    metrics = Metrics()

    async def scenario(compute):
        sessions = [Session(compute) for _ in range(8)]
        asked = [session.ask(0, "gate") for session in sessions]
        await until(lambda: workers[0].streams + workers[1].streams == 8)
        assert workers[0].streams == workers[1].streams == 4, "each has as many as the other"
        workers.lose(0)
        await until(lambda: workers[1].streams + workers[0].streams == 8)
        Gate.opened.set()
        assert all(isinstance(result, Transcribed) for result in await asyncio.gather(*asked))

    over(workers.url, tmp_path, scenario, engines=("gate",), metrics=metrics)
    assert metrics.registry.get_sample_value("hark_cluster_events_total", {"model": "gate", "what": "lost"}) == 4


def test_a_worker_that_freezes_is_left_for_another(tmp_path, hire):
    workers = hire("scripted", count=2)

    async def scenario(compute):
        sessions = [Session(compute) for _ in range(4)]
        await asyncio.gather(*(session.ask(0) for session in sessions))
        assert workers[0].streams == workers[1].streams == 2
        workers.do(lambda: setattr(workers[0], "silent", True))
        began = asyncio.get_running_loop().time()
        results = await asyncio.gather(*(session.ask(1) for session in sessions))
        assert [result.hypothesis.text for result in results] == ["charlie"] * 4
        assert asyncio.get_running_loop().time() - began >= feed.STALL_S
        workers.do(lambda: setattr(workers[0], "silent", False))

    over(workers.url, tmp_path, scenario)


def test_the_log_says_of_which_model_nobody_is_there_and_when_somebody_is_again(tmp_path, hire, monkeypatch, caplog):
    monkeypatch.setattr(remote, "OUTAGE_S", 0.0)
    workers = hire("scripted")

    async def scenario(compute):
        workers.do(lambda: workers.away.add(workers[0]))
        asked = Session(compute).ask(0)
        await until(lambda: "no worker of the model 'scripted' could be had: UNAVAILABLE" in caplog.text)
        assert "again" not in caplog.text
        workers.do(workers.away.clear)
        await asked
        await Session(compute).ask(0)
        assert caplog.text.count("workers of the model 'scripted' answer again") == 1

    over(workers.url, tmp_path, scenario)


def test_a_gateway_that_finds_nobody_says_what_it_met_and_not_that_time_was_up(tmp_path, hire, monkeypatch, caplog):
    monkeypatch.setattr(remote, "START_S", 2.0)
    monkeypatch.setattr(remote, "START_AGAIN_S", 0.05)
    workers = hire("scripted")
    workers.do(lambda: workers.away.add(workers[0]))

    async def scenario(compute):
        pytest.fail("it started")

    async def falls_silent():
        while "waiting up to 2 s for a worker of the model 'scripted': UNAVAILABLE" not in caplog.text:
            await asyncio.sleep(0.005)
        workers.do(lambda: (setattr(workers[0], "silent", True), workers.away.clear()))

    caplog.set_level("INFO")
    with pytest.raises(OperatorError, match="UNAVAILABLE: no replica is there"):
        over(workers.url, tmp_path, scenario, beside=falls_silent)


def test_streams_that_are_old_find_their_way_to_new_workers(tmp_path, hire):
    workers = hire("scripted", count=2)

    async def scenario(compute):
        workers.do(lambda: workers.away.add(workers[1]))
        sessions = [Session(compute) for _ in range(4)]
        await asyncio.gather(*(session.ask(0) for session in sessions))
        assert workers[0].streams == 4
        workers.do(workers.away.clear)
        await until(lambda: workers[0].streams == 0)
        for number, session in enumerate(sessions):
            await session.ask(1, final=number > 4)
        assert workers[0].streams == workers[1].streams == 2

    over(workers.url, tmp_path, scenario, rotate_s=0.2)


def test_workers_that_come_back_are_found(tmp_path, hire):
    workers = hire("scripted")

    async def scenario(compute):
        session = Session(compute)
        await session.ask(0)
        workers.do(lambda: workers.away.add(workers[0]))
        workers.lose(0)
        asked = session.ask(1)
        await asyncio.sleep(0.5)
        assert not asked.done()
        workers.do(workers.away.clear)
        assert isinstance(await asked, Transcribed)

    over(workers.url, tmp_path, scenario)


def test_where_nobody_comes_back_the_session_and_the_log_are_told(tmp_path, hire, monkeypatch, caplog):
    monkeypatch.setattr(feed, "GIVEN_UP_S", 0.5)
    workers = hire("scripted")

    async def scenario(compute):
        session = Session(compute)
        workers.do(lambda: workers.away.add(workers[0]))
        failed = await session.ask(0)
        assert isinstance(failed, WorkFailed)
        assert isinstance(failed.error, ModelError)
        assert failed.error.message == "No worker of the model 'scripted' answered in 0 s."
        assert any("no replica is there" in line or "the stream broke" in line for line in caplog.messages)
        assert any("no worker of the model 'scripted' answered" in line for line in caplog.messages)
        workers.do(workers.away.clear)
        assert isinstance(await session.ask(1), Transcribed)

    over(workers.url, tmp_path, scenario)


def test_what_no_longer_asks_takes_no_room(tmp_path, hire):
    workers = hire("scripted")

    async def scenario(compute):
        await Session(compute).ask(0)
        await until(lambda: not compute._feeds)
        await until(lambda: workers[0].streams == 0)

    over(workers.url, tmp_path, scenario, rotate_s=0.05)


def test_workers_say_how_hard_they_work(tmp_path, hire):
    async def scenario(compute):
        await Session(compute).ask(0)
        assert compute.strain().callers >= 1
        compute._strains["another"] = (asyncio.get_running_loop().time(), compute.strain())
        assert compute.strain().callers >= 2
        compute.look()

    metrics = Metrics()
    over(hire().url, tmp_path, scenario, metrics=metrics)
    assert metrics.registry.get_sample_value("hark_cluster_workers") == 2


@pytest.mark.parametrize(("engine", "why"), [("deaf", "NOT_FOUND"), (None, "refused")])
def test_a_gateway_without_workers_does_not_start_and_says_why(tmp_path, hire, monkeypatch, engine, why):
    monkeypatch.setattr(remote, "START_S", 1.0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = hire().url if engine else f"ray://127.0.0.1:{taken.getsockname()[1]}"

        async def scenario(compute):
            pytest.fail("it started")

        with pytest.raises(OperatorError) as refused:
            over(url, tmp_path, scenario, engines=(engine or "scripted",))
    assert f"No worker of the model '{engine or 'scripted'}'" in refused.value.message
    assert why in refused.value.message
    assert "hark ray config" in refused.value.message


def test_workers_may_ask_for_a_token(tmp_path, hire, monkeypatch):
    workers = hire("scripted", token="of-the-workers")

    async def scenario(compute):
        assert isinstance(await Session(compute).ask(0), Transcribed)

    over(workers.url, tmp_path, scenario, token="of-the-workers")
    monkeypatch.setattr(remote, "START_S", 1.0)
    for wrong in (None, "of-another", "of-the-workersX", ""):
        with pytest.raises(OperatorError, match="UNAUTHENTICATED"):
            over(workers.url, tmp_path, scenario, token=wrong)


def test_what_happens_to_many_at_once_is_one_line_of_the_log():
    told = remote.Seldom()
    assert [told.line("lost", at) for at in (0.0, 0.1, 0.2)] == ["lost", None, None]
    assert told.line("silent", 0.3) == "silent"
    assert told.line("lost", 1.5) == "lost (2 more of these)"
    assert told.line("lost", 3.0) == "lost"


def test_who_asks_when_all_streams_have_ended_is_told_and_opens_none(tmp_path, hire):
    async def scenario(compute):
        assert isinstance(await Session(compute).ask(0), Transcribed)
        await compute.leave()
        assert isinstance(await Session(compute).ask(0), WorkFailed)
        assert compute._channels.streams == 0
        assert not compute._channels._open

    over(hire().url, tmp_path, scenario)


def test_a_fault_in_one_session_leaves_others_what_time_does_for_them(tmp_path, hire, monkeypatch):
    workers = hire("scripted", count=2)

    async def scenario(compute):
        broken, session = Session(compute), Session(compute)
        await broken.ask(0)
        await session.ask(0)
        monkeypatch.setattr(compute._feeds[broken.deliver]["scripted"], "tick", None)
        workers.do(lambda: [setattr(worker, "silent", True) for worker in workers[:]])
        asked = session.ask(1)
        await until(lambda: workers[0].streams + workers[1].streams > 2)
        workers.do(lambda: [setattr(worker, "silent", False) for worker in workers[:]])
        assert isinstance(await asked, Transcribed)

    over(workers.url, tmp_path, scenario)


def test_connections_that_died_without_a_word_are_made_anew(tmp_path, hire, monkeypatch):
    monkeypatch.setattr(feed, "STALL_S", 0.3)
    monkeypatch.setattr(feed, "GREETING_S", 0.1)
    monkeypatch.setattr(channels, "SHUNNED_S", 0.05)

    async def scenario(compute):
        session = Session(compute)
        await session.ask(0)
        way.die()
        assert isinstance(await session.ask(1), Transcribed)

    with Way(hire().port) as way:
        over(way.url, tmp_path, scenario)


def test_a_frozen_worker_keeps_no_gateway_from_starting(tmp_path, hire, monkeypatch):
    monkeypatch.setattr(remote, "START_EACH_S", 0.2)
    workers = hire("scripted", count=2)
    workers.do(lambda: setattr(workers[0], "silent", True))

    async def scenario(compute):
        workers.do(lambda: setattr(workers[0], "silent", False))

    over(workers.url, tmp_path, scenario)
