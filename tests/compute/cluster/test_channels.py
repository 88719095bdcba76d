"""Over which connection the next stream goes, and how many there are."""

import asyncio

import pytest

from hark.compute.cluster.channels import (
    LEAST,
    MOST_SHUNNED_S,
    MOST_SILENT,
    SHUNNED_S,
    STREAMS_EACH,
    Channel,
    Channels,
)


class Connection:
    """To nowhere."""

    def __init__(self, address, options):
        self.address = address
        self.closed = False

    def stream_stream(self, method):
        return None

    async def close(self):
        self.closed = True


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """The channels, in the order in which they were opened."""
    opened = []

    class Noted(Channel):
        def __init__(self, *told):
            super().__init__(*told)
            opened.append(self)

    monkeypatch.setattr("grpc.aio.insecure_channel", Connection)
    monkeypatch.setattr("hark.compute.cluster.channels.Channel", Noted)
    return opened


def closed(channels):
    return [channel._channel.closed for channel in channels]


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
    assert not any(closed(opened)), "none that carries a stream is closed"
    for _ in range(20):
        picked = channels.pick(0.0)
        assert picked in opened[:LEAST]
        picked.streams += 1
    for channel in opened[LEAST:]:
        channel.streams = 0
    asyncio.run(channels.end_idle())
    assert closed(opened) == [False] * LEAST + [True] * 8
    assert channels.streams == 26
    for _ in range(LEAST * STREAMS_EACH):
        channels.pick(0.0).streams += 1
    assert len(opened) == 11, "and more are opened when there are more again"


def test_one_that_fails_again_and_again_is_tried_ever_more_seldom():
    (channel,) = {Channels(["one:9000"]).pick(0.0)}
    now, pauses = 0.0, []
    for _ in range(7):
        channel.shun(now)
        channel.shun(now)  # what fell silent with it
        pauses.append(channel.shunned_until - now)
        now = channel.shunned_until
    assert pauses == [SHUNNED_S * 2**step for step in range(4)] + [MOST_SHUNNED_S] * 3
    channel.heard()
    channel.shun(now)
    assert channel.shunned_until == now + SHUNNED_S


def test_a_connection_that_stays_silent_is_made_anew(opened):
    channels = Channels(["one:9000", "two:9000"])
    for _ in range(4):
        channels.pick(0.0).streams += 1
    dead, now = opened[1], 0.0
    for _ in range(MOST_SILENT):
        assert len(opened) == 4
        channels.silent(dead, now)
        now = dead.shunned_until
    assert len(opened) == 5
    assert opened[4].address == dead.address
    assert opened[4].shunned_until == now, "nobody hurries there"
    opened[4].streams = 5
    picked = {channels.pick(now) for _ in range(3)}
    assert dead not in picked
    asyncio.run(channels.end_idle())
    assert not dead._channel.closed, "what it still carries may be heard after all"
    assert channels.streams == 9
    dead.streams = 0
    asyncio.run(channels.end_idle())
    assert closed(opened) == [False, True, False, False, False]
