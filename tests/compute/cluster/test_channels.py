"""Over which connection the next stream goes, and how many there are."""

import asyncio

import pytest

from hark.compute.cluster.channels import LEAST, STREAMS_EACH, Channels


class Channel:
    def __init__(self, address, credentials, token):
        self.address, self.streams, self.shunned_until, self.closed = address, 0, 0.0, False

    async def close(self):
        assert not self.streams
        self.closed = True


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """Channels that lead nowhere, in the order in which they were opened."""
    opened = []

    def another(*told):
        opened.append(Channel(*told))
        return opened[-1]

    monkeypatch.setattr("hark.compute.cluster.channels.Channel", another)
    return opened


def test_streams_are_spread_over_connections(opened):
    channels = Channels(["one:9000", "two:9000"])
    for _ in range(150):
        channels.pick(0.0).streams += 1
    assert sorted(channel.address for channel in opened) == ["one:9000", "one:9000", "two:9000", "two:9000"]
    assert {channel.streams for channel in opened} <= {37, 38}
    for _ in range(60):
        channels.pick(0.0).streams += 1
    assert len(opened) == 5, "a connection carries only so many"


def test_a_connection_that_failed_is_the_last_choice_for_a_moment(opened):
    channels = Channels(["one:9000"])
    for _ in range(10):
        channels.pick(0.0).streams += 1
    opened[0].streams, opened[0].shunned_until = 0, 5.0
    assert channels.pick(1.0) is opened[1]
    assert channels.pick(6.0) is opened[0]
    for channel in opened:
        channel.shunned_until = 5.0
    assert channels.pick(1.0) in opened, "where all have failed, one of them"
    assert len(opened) == LEAST


def test_connections_that_few_streams_need_no_more_are_closed(opened):
    channels = Channels(["one:9000"])
    for _ in range(10 * STREAMS_EACH):
        channels.pick(0.0).streams += 1
    assert len(opened) == 10
    for channel in opened:
        channel.streams = 3
    asyncio.run(channels.end_idle())
    assert not any(channel.closed for channel in opened), "none that carries a stream is closed"
    for _ in range(20):
        picked = channels.pick(0.0)
        assert picked in opened[:LEAST]
        picked.streams += 1
    for channel in opened[LEAST:]:
        channel.streams = 0
    asyncio.run(channels.end_idle())
    assert [channel.closed for channel in opened] == [False] * LEAST + [True] * 8
    assert channels.streams == 26
    for _ in range(LEAST * STREAMS_EACH):
        channels.pick(0.0).streams += 1
    assert len(opened) == 11, "and more are opened when there are more again"
