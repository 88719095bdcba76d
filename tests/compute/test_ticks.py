"""Voice scores in ticks: the first at once, those that come while a tick lasts together, none twice, none lost."""

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

        ticks = Ticks(lambda work, deliver: runs.append((turn, work, deliver)))
        await scenario(ticks, until)
        return runs

    return asyncio.run(run())


def test_the_first_goes_on_at_once_and_the_rest_of_the_tick_together():
    async def scenario(ticks, until):
        for number in range(5):
            ticks.submit(number, "deliver")
        assert ticks.waiting == 4
        await until(5)
        assert ticks.waiting == 0

    runs = played(scenario)
    assert [work for _, work, _ in runs] == [0, 1, 2, 3, 4]
    first, *rest = (turn for turn, _, _ in runs)
    assert first == 0 and rest[0] > 0 and len(set(rest)) == 1


def test_what_comes_in_the_tick_after_waits_for_its_end_too():
    async def scenario(ticks, until):
        ticks.submit("a", "deliver")
        ticks.submit("b", "deliver")
        await until(2)
        ticks.submit("c", "deliver")
        assert ticks.waiting == 1
        await until(3)

    turns = [turn for turn, _, _ in played(scenario)]
    assert turns == sorted(set(turns))


def test_after_a_quiet_tick_nobody_waits():
    async def scenario(ticks, until):
        ticks.submit("a", "deliver")
        async with asyncio.timeout(PATIENCE_S):
            while ticks.lasts:
                await asyncio.sleep(0)
        ticks.submit("b", "deliver")
        assert ticks.waiting == 0

    assert [work for _, work, _ in played(scenario)] == ["a", "b"]


def test_what_is_withdrawn_is_never_run():
    async def scenario(ticks, until):
        for work, deliver in (("a", "one"), ("b", "one"), ("c", "two"), ("d", "one")):
            ticks.submit(work, deliver)
        ticks.withdraw("one")
        assert ticks.waiting == 1
        await until(2)

    assert [(work, deliver) for _, work, deliver in played(scenario)] == [("a", "one"), ("c", "two")]


def test_nothing_is_submitted_after_the_end():
    async def scenario(ticks, until):
        ticks.submit("a", "deliver")
        ticks.submit("b", "deliver")
        ticks.stop()
        async with asyncio.timeout(PATIENCE_S):
            while ticks.lasts:
                await asyncio.sleep(0)

    assert [work for _, work, _ in played(scenario)] == ["a"]
