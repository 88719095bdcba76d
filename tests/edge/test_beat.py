"""Appends of many sessions in beats: at once after a quiet one, else together when it is over."""

import asyncio

from hark.edge.beat import Beat

PATIENCE_S = 20


def test_a_lone_append_waits_for_nobody_and_those_after_it_wait_together():
    async def scenario():
        beat, done, turn = Beat(), [], 0

        def step(name):
            return lambda: done.append((turn, name))

        async def until(number):
            nonlocal turn
            async with asyncio.timeout(PATIENCE_S):
                while len(done) < number:
                    turn += 1
                    await asyncio.sleep(0)

        beat.join(step("a"))
        assert done == [(0, "a")]
        beat.join(step("b"))
        await asyncio.sleep(0)
        beat.join(step("c"))
        await until(3)
        beat.join(step("d"))  # the beat that began with b and c
        assert len(done) == 3
        await until(4)
        return done

    (_, a), (two, b), (three, c), (four, d) = asyncio.run(scenario())
    assert (a, b, c, d) == ("a", "b", "c", "d")
    assert 0 < two == three < four


def test_after_a_quiet_beat_nobody_waits():
    async def scenario():
        beat, done = Beat(), []
        beat.join(lambda: done.append("a"))
        async with asyncio.timeout(PATIENCE_S):
            while beat.lasts:
                await asyncio.sleep(0)
        beat.join(lambda: done.append("b"))
        return done

    assert asyncio.run(scenario()) == ["a", "b"]
