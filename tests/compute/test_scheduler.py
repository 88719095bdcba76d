"""Compute on this machine, with the scripted models: the right worker, loaded when it is needed."""

import asyncio
import threading

import numpy as np
import pytest

from hark.compute.cores import usable_cores
from hark.compute.scheduler import LocalCompute
from hark.core.work import (
    Hypothesis,
    JudgeTurn,
    ScoreVoice,
    Token,
    Transcribe,
    Transcribed,
    TurnJudged,
    VoiceScored,
    WorkFailed,
)
from hark.errors import OperatorError
from hark.models import scripted
from hark.models.base import EngineModel, JudgeModel, ModelSpec, ScorerModel
from hark.models.scripted import amplitude

PATIENCE_S = 20
SOUND = np.concatenate((np.full(3_200, amplitude("charlie"), np.float32), np.zeros(3_456, np.float32)))


class Hints:
    """An engine that repeats what it was told beside the audio."""

    def __init__(self, options):
        self.options = options

    def transcribe(self, batch):
        return [
            Hypothesis((Token(f"{u.language} {u.prompt} {u.keywords} {u.draft} {self.options.threads}", 0.0),))
            for u in batch
        ]


def _refuse(options):
    raise OperatorError(f"The model's files are not in {options.folder}. Run hark pull.")


def engine(name, load):
    return EngineModel(ModelSpec(name, "for this test", "MIT", own_process=False), load)


MODELS = {model.spec.name: model for model in [*scripted.plugin(), engine("hints", Hints), engine("unpulled", _refuse)]}


def played(tmp_path, scenario, models=MODELS, judge="scripted-turns"):
    async def run():
        compute = LocalCompute(models, scorer="scripted-vad", judge=judge, folder=tmp_path, threads=3)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await scenario(compute)
        finally:
            await asyncio.to_thread(compute.stop)

    return asyncio.run(run())


async def result(compute, work):
    answer = asyncio.get_running_loop().create_future()
    compute.submit(work, answer.set_result)
    return await answer


def transcribe(name, number=4, **hints):
    return Transcribe(id=number, engine=name, audio=SOUND, **hints)


def test_each_kind_of_work_goes_to_its_model(tmp_path):
    async def scenario(compute):
        await compute.start("scripted")
        scored = await result(compute, ScoreVoice(3, SOUND, None))
        assert isinstance(scored, VoiceScored)
        assert (scored.probabilities > 0.5).tolist() == [True] * 7 + [False] * 6
        assert scored.id == 3
        heard = await result(compute, transcribe("scripted"))
        assert heard == Transcribed(4, Hypothesis((Token(" charlie", -0.1, 0, 3_200),), language="en"))
        judged = await result(compute, JudgeTurn(5, SOUND))
        assert judged == TurnJudged(5, 0.5)
        assert compute.waiting == 0

    played(tmp_path, scenario)


def test_a_judge_that_cannot_be_loaded_is_a_warning(tmp_path, caplog):
    async def scenario(compute):
        await compute.start("scripted")
        failed = await result(compute, JudgeTurn(6, SOUND))
        assert (failed.id, type(failed)) == (6, WorkFailed)
        assert isinstance(await result(compute, ScoreVoice(3, SOUND, None)), VoiceScored)

    judge = JudgeModel(ModelSpec("judge", "for this test", "MIT"), _refuse)
    played(tmp_path, scenario, MODELS | {"judge": judge}, judge="judge")
    at_start, when_asked = [record.getMessage() for record in caplog.records]
    assert at_start.startswith("semantic_vad goes by silence alone")
    assert when_asked.startswith("model judge cannot be loaded: ")
    assert at_start.endswith("Run hark pull.")


def test_of_what_a_session_asks_the_judge_the_newest_counts(tmp_path):
    busy, gate = threading.Event(), threading.Event()

    class Slow:
        def judge(self, batch):
            busy.set()
            assert gate.wait(PATIENCE_S)
            return [len(audio) / 10 for audio in batch]

    async def scenario(compute):
        first = asyncio.create_task(result(compute, JudgeTurn(0, SOUND[:1])))
        await asyncio.to_thread(busy.wait, PATIENCE_S)
        results = []
        for number in range(1, 6):
            compute.submit(JudgeTurn(number, SOUND[:number]), results.append)
        assert compute.waiting == 1
        gate.set()
        await first
        await result(compute, JudgeTurn(6, SOUND[:6]))
        assert results == [TurnJudged(5, 0.5)]

    judge = JudgeModel(ModelSpec("slow", "for this test", "MIT", max_batch=1), lambda options: Slow())
    played(tmp_path, scenario, MODELS | {"slow": judge}, judge="slow")


def test_without_a_judge_judgements_fail(tmp_path):
    async def scenario(compute):
        await compute.start("scripted")
        failed = await result(compute, JudgeTurn(6, SOUND))
        assert failed.error.message == "No model of turns is in use."

    played(tmp_path, scenario, judge=None)


def test_hints_and_options_reach_the_engine(tmp_path):
    async def scenario(compute):
        heard = await result(
            compute, transcribe("hints", language="de", prompt="Namen", keywords=("Hark",), draft=(3, 4))
        )
        assert heard.hypothesis.text == "de Namen ('Hark',) (3, 4) 3"

    played(tmp_path, scenario)


def test_a_model_is_loaded_by_its_first_request(tmp_path):
    loads = []

    def load(options):
        loads.append(options)
        return Hints(options)

    async def scenario(compute):
        await compute.start("scripted")
        assert loads == []
        for _ in range(3):
            await result(compute, transcribe("late"))

    played(tmp_path, scenario, MODELS | {"late": engine("late", load)})
    assert [(options.folder, options.threads) for options in loads] == [(tmp_path, 3)]


def test_engines_may_use_every_core_unless_told_otherwise(tmp_path):
    loads = []
    scorer = ScorerModel(ModelSpec("ears", "for this test", "MIT"), loads.append)
    models = {"ears": scorer, "hints": engine("hints", loads.append)}

    async def run():
        compute = LocalCompute(models, scorer="ears", folder=tmp_path)
        await compute.start("hints")
        await asyncio.to_thread(compute.stop)

    asyncio.run(run())
    assert sorted(options.threads for options in loads) == sorted((1, usable_cores()))


@pytest.mark.parametrize(
    ("threads", "each", "callers", "granted"),
    [(1, 1, 1, 1), (4, 1, 4, 1), (5, 2, 2, 2), (2, 4, 1, 2), (64, 1, 64, 1), (4, None, 1, 4)],
)
def test_cores_are_shared_out_among_callers(tmp_path, threads, each, callers, granted):
    loaded = []

    def load(options):
        loaded.append(options.threads)
        return Hints(options)

    model = EngineModel(ModelSpec("shared", "for this test", "MIT", threads=each, own_process=False), load)

    async def run():
        compute = LocalCompute(MODELS | {"shared": model}, scorer="scripted-vad", folder=tmp_path, threads=threads)
        await compute.start("shared")
        strain = compute.strain()
        await asyncio.to_thread(compute.stop)
        return strain.callers

    assert asyncio.run(run()) == callers
    assert loaded == [granted]


def test_start_says_why_a_model_cannot_be_loaded(tmp_path):
    async def scenario(compute):
        with pytest.raises(OperatorError, match=r"Run hark pull\."):
            await compute.start("unpulled")

    played(tmp_path, scenario)


def test_work_for_a_model_that_is_not_installed_fails_later_and_not_at_once(tmp_path):
    async def scenario(compute):
        results = []
        compute.submit(transcribe("nobody-has-this"), results.append)
        assert results == []
        await asyncio.sleep(0)
        (failed,) = results
        assert isinstance(failed, WorkFailed)
        assert failed.error.message == "No installed plug-in offers the model 'nobody-has-this'."

    played(tmp_path, scenario)


def test_a_session_that_is_gone_gets_nothing_more(tmp_path):
    busy, gate = threading.Event(), threading.Event()

    class Gated(Hints):
        def transcribe(self, batch):
            busy.set()
            assert gate.wait(PATIENCE_S)
            return super().transcribe(batch)

    models = MODELS | {"gated": engine("gated", Gated)}

    async def scenario(compute):
        results = []
        stays = asyncio.create_task(result(compute, transcribe("gated")))
        await asyncio.to_thread(busy.wait, PATIENCE_S)
        for number in range(5):
            compute.submit(transcribe("gated", number), results.append)
        assert compute.waiting == 5
        compute.withdraw(results.append)
        assert compute.waiting == 0
        gate.set()
        await stays
        await result(compute, transcribe("gated"))
        assert results == []

    played(tmp_path, scenario, models)
