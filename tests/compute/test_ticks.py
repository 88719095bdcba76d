"""Voice scores in ticks: at once after a quiet one, else together when it is over, none twice, none lost."""

import asyncio

from hark.compute.ticks import Ticks

PATIENCE_S = 20


def played(scenario):
    async def run():
        runs = []  # what was submitted, by the turn of the loop in which it was
        turn = 0

        async def until(number):
            nonlocal turn
            async with asyncio.timeout(PATIENCE_S):
                while len(runs) < number:
                    turn += 1
                    await asyncio.sleep(0)

        ticks = Ticks(lambda asked: runs.extend((turn, work, deliver) for work, deliver in asked))
        await scenario(ticks, until)
        return runs

    return asyncio.run(run())


def test_what_comes_in_one_turn_of_the_loop_goes_together_and_at_once():
    async def scenario(ticks, until):
        for number in range(5):
            ticks.submit(number, "deliver")
        assert ticks.waiting == 5
        await until(5)
        assert ticks.waiting == 0

    runs = played(scenario)
    assert [work for _, work, _ in runs] == [0, 1, 2, 3, 4]
    assert {turn for turn, _, _ in runs} == {1}


def test_what_comes_while_the_tick_lasts_waits_for_its_end():
    async def scenario(ticks, until):
        ticks.submit("a", "deliver")
        await until(1)
        ticks.submit("b", "deliver")
        await asyncio.sleep(0)
        ticks.submit("c", "deliver")
        assert ticks.waiting == 2
        await until(3)
        ticks.submit("d", "deliver")
        assert ticks.waiting == 1
        await until(4)

    turns = [turn for turn, _, _ in played(scenario)]
    assert turns[0] < turns[1] == turns[2] < turns[3]


def test_after_a_quiet_tick_nobody_waits():
    async def scenario(ticks, until):
        ticks.submit("a", "deliver")
        await until(1)
        async with asyncio.timeout(PATIENCE_S):
            while ticks.lasts:
                await asyncio.sleep(0)
        ticks.submit("b", "deliver")
        await asyncio.sleep(0)
        assert ticks.waiting == 0

    assert [work for _, work, _ in played(scenario)] == ["a", "b"]


def test_what_is_withdrawn_is_never_run():
    async def scenario(ticks, until):
        for work, deliver in (("a", "one"), ("b", "one"), ("c", "two"), ("d", "one")):
            ticks.submit(work, deliver)
        ticks.withdraw("one")
        assert ticks.waiting == 1
        await until(1)

    assert [(work, deliver) for _, work, deliver in played(scenario)] == [("c", "two")]


def test_nothing_is_submitted_after_the_end():
    async def scenario(ticks, until):
        ticks.submit("a", "deliver")
        await until(1)
        ticks.submit("b", "deliver")
        ticks.stop()
        async with asyncio.timeout(PATIENCE_S):
            while ticks.lasts:
                await asyncio.sleep(0)

    assert [work for _, work, _ in played(scenario)] == ["a"]
