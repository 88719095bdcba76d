"""The count of a key's audio, with a clock of the test's own: written soon, shared, and kept when the process ends."""

import asyncio
import logging
import threading

import pytest

from hark.auth.places import store_at
from hark.auth.principal import ANONYMOUS, OWN_KEY, Principal
from hark.auth.store import FILE, Store
from hark.auth.usage import MINUTE_SAMPLES
from hark.core.work import SAMPLE_RATE
from hark.edge.limits import SAVED_EVERY_SAMPLES, Limits
from hark.errors import OperatorError, RateLimitError
from redises import names

NOON = 1_795_000_000 // 60 * 60
WHO = Principal("phone", "00" * 8, audio_minutes_per_hour=2)


class Clock:
    now = float(NOON)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def run(scenario):
    async def bounded():
        async with asyncio.timeout(20):
            return await scenario

    return asyncio.run(bounded())


def stored(place):
    return sum(store_at(place).audio(NOON, [WHO.key_id])[WHO.key_id].values())


async def settled(limits):
    while limits._saving is not None:
        await asyncio.wait({limits._saving})


def test_what_was_heard_outlasts_the_process(place, clock):
    async def first():
        limits = Limits(store_at(place), clock)
        async with limits.session(WHO) as meter:
            assert meter.charge(2 * MINUTE_SAMPLES) is None
        await limits.stop()

    async def second():
        limits = Limits(store_at(place), clock)
        with pytest.raises(RateLimitError) as caught:
            async with limits.session(WHO):
                pass
        clock.now += caught.value.retry_after_s - 1
        with pytest.raises(RateLimitError):
            async with limits.session(WHO):
                pass
        clock.now += 1
        async with limits.session(WHO) as meter:
            assert meter.charge(2 * MINUTE_SAMPLES) is None
        await limits.stop()

    run(first())
    run(second())


def test_it_is_written_every_few_seconds_of_audio(place, clock):
    async def scenario():
        limits = Limits(store_at(place), clock)
        async with limits.session(WHO) as meter:
            meter.charge(SAVED_EVERY_SAMPLES - 1)
            await settled(limits)
            assert stored(place) == 0
            meter.charge(1)
            await settled(limits)
            assert stored(place) == SAVED_EVERY_SAMPLES
            meter.charge(7)
        await settled(limits)
        assert stored(place) == SAVED_EVERY_SAMPLES + 7
        await limits.stop()

    run(scenario())


def test_a_server_that_is_stopped_writes_the_rest(place, clock):
    async def scenario():
        limits = Limits(store_at(place), clock)
        async with limits.session(WHO) as meter:
            meter.charge(5)
            await limits.stop()
            assert stored(place) == 5
            meter.charge(SAVED_EVERY_SAMPLES)  # a session that ends after the server has

    run(scenario())
    assert stored(place) == 5


def test_processes_that_share_the_store_share_the_hour(place, clock):
    async def scenario():
        one, two = Limits(store_at(place), clock), Limits(store_at(place), clock)
        async with one.session(WHO) as here, two.session(WHO) as there:
            assert here.charge(MINUTE_SAMPLES) is None
            await settled(one)
            assert there.charge(MINUTE_SAMPLES) is None, "it has not looked since"
            await settled(two)
            assert there.charge(1).code == "rate_limit_exceeded"
        for limits in (one, two):
            with pytest.raises(RateLimitError, match=r"has sent 2\.0"):
                async with limits.session(WHO):
                    pass
            await limits.stop()

    run(scenario())
    assert stored(place) == 2 * MINUTE_SAMPLES + 1


def test_sessions_of_one_key_share_the_hour_at_once(place, clock):
    async def scenario():
        limits = Limits(store_at(place), clock)
        async with limits.session(WHO) as one, limits.session(WHO) as two:
            assert one.charge(2 * MINUTE_SAMPLES) is None
            assert two.charge(1) is not None
        await limits.stop()

    run(scenario())


def test_what_a_file_declares_is_kept_for_it_while_it_is_heard(place, clock):
    async def scenario():
        limits = Limits(store_at(place), clock)
        async with limits.session(WHO, live=False) as one, limits.session(WHO, live=False) as two:
            one.expect(2 * MINUTE_SAMPLES)
            with pytest.raises(RateLimitError, match=r"other files that it is sending take 2\.0"):
                two.expect(1)
            assert one.charge(MINUTE_SAMPLES) is None
            with pytest.raises(RateLimitError, match=r"other files that it is sending take 1\.0"):
                two.expect(1)
        async with limits.session(WHO, live=False) as again:
            again.expect(MINUTE_SAMPLES)  # the other half was not sent after all
            assert limits._accounts[WHO.key_id].reserved == MINUTE_SAMPLES
            assert again.charge(2 * MINUTE_SAMPLES) is not None, "it held more than it said"
            assert limits._accounts[WHO.key_id].reserved == 0
        await limits.stop()

    run(scenario())


def test_the_disk_is_never_touched_on_the_loops_thread(tmp_path, clock, monkeypatch):
    seen = set()
    for name in ("audio", "add_audio"):
        real = getattr(Store, name)

        def watched(*given, real=real, name=name):
            seen.add((name, threading.current_thread() is threading.main_thread()))
            return real(*given)

        monkeypatch.setattr(Store, name, watched)

    async def scenario():
        limits = Limits(Store(tmp_path), clock)
        async with limits.session(WHO) as meter:
            meter.charge(2 * SAVED_EVERY_SAMPLES)
        await limits.stop()

    run(scenario())
    assert seen == {("audio", False), ("add_audio", False)}


@pytest.mark.parametrize("who", [ANONYMOUS, Principal("key", OWN_KEY)])
def test_without_a_stored_key_nothing_is_counted(place, clock, who):
    async def scenario():
        limits = Limits(store_at(place), clock)
        async with limits.session(who) as meter:
            assert meter.charge(10**9) is None
            meter.expect(10**9)
        await limits.stop()

    run(scenario())
    assert names(place) == []


def test_a_store_that_breaks_ends_no_session_and_the_count_goes_on(tmp_path, clock, caplog):
    async def scenario():
        limits = Limits(Store(tmp_path), clock)
        Store(tmp_path).add_audio({("other", NOON // 60): 1}, NOON)
        whole = (tmp_path / FILE).read_bytes()
        async with limits.session(WHO) as meter:
            (tmp_path / FILE).write_text("no database")
            assert meter.charge(MINUTE_SAMPLES) is None
            await settled(limits)
            with pytest.raises(OperatorError):
                async with limits.session(WHO):
                    pass
            assert meter.charge(MINUTE_SAMPLES) is None
            assert meter.charge(SAMPLE_RATE) is not None, "here the limit holds all the same"
            (tmp_path / FILE).write_bytes(whole)
        await limits.stop()

    with caplog.at_level(logging.ERROR):
        run(scenario())
    assert "audio is not counted in the store" in caplog.text
    assert stored(tmp_path) == 2 * MINUTE_SAMPLES + SAMPLE_RATE


def test_a_store_that_could_not_be_written_is_left_alone_for_a_while(tmp_path, clock):
    tried = []

    class Broken(Store):
        def add_audio(self, heard, now):
            tried.append(sum(heard.values()))
            raise OperatorError("It is full.")

    async def scenario():
        limits = Limits(Broken(tmp_path), clock)
        async with limits.session(WHO) as meter:
            for _ in range(5):
                meter.charge(SAVED_EVERY_SAMPLES)
                await settled(limits)
            assert tried == [SAVED_EVERY_SAMPLES]
        await limits.stop()
        assert tried == [SAVED_EVERY_SAMPLES, 5 * SAVED_EVERY_SAMPLES], "who stops tries once more"

    run(scenario())


def test_nothing_is_kept_of_keys_that_are_not_in_use(place, clock):
    async def scenario():
        limits = Limits(store_at(place), clock)
        async with limits.session(WHO) as meter:
            meter.charge(1)
        await settled(limits)
        assert (limits._accounts, limits._users) == ({}, {})
        await limits.stop()

    run(scenario())


def test_what_a_session_hears_after_its_connection_was_lost_counts_too(place, clock):
    async def scenario():
        limits = Limits(store_at(place), clock)
        async with limits.session(WHO) as meter:
            meter.charge(1)
            meter.hold()
        await settled(limits)
        meter.charge(2)
        meter.close()
        await settled(limits)
        assert stored(place) == 3
        assert (limits._accounts, limits._users) == ({}, {})
        await limits.stop()

    run(scenario())
