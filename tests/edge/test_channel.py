"""The channel between supervisor and gateway: in order, with sockets, and what becomes of them when a side goes."""

import asyncio
import socket

import pytest

from hark.auth.principal import ANONYMOUS
from hark.edge.channel import Channel, Connection, Enter, Left, Load, Pass, Request, Taken
from hark.edge.gateway import Gateway
from hark.errors import RateLimitError


class Side:
    def __init__(self, end):
        self.heard = []
        self.sockets = []
        self.lost = 0
        self.channel = Channel(end, self.hear, self.lose)

    def hear(self, message, came):
        self.heard.append(message)
        if came is not None:
            self.sockets.append(came)

    def lose(self):
        self.lost += 1


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def sides(scenario):
    async def run():
        one, other = map(Side, socket.socketpair())
        try:
            await scenario(one, other)
        finally:
            for side in (one, other):
                side.channel.close()
                for each in [*side.sockets, *(each for _, each in side.channel.carried)]:
                    each.close()

    asyncio.run(run())


def test_messages_and_sockets_come_in_order():
    async def scenario(one, other):
        kept = []
        for number in range(200):
            ours, theirs = socket.socketpair()
            kept.append(ours)
            one.channel.send(Enter(number, "key" * number, "192.0.2.1", None))
            one.channel.send(Connection() if number % 2 else Request(), theirs)
        await until(lambda: len(other.sockets) == 200 and not one.channel.carried)
        asked = [message for message in other.heard if isinstance(message, Enter)]
        assert asked == [Enter(number, "key" * number, "192.0.2.1", None) for number in range(200)]
        assert one.heard == [Taken()] * 200
        for number, (ours, came) in enumerate(zip(kept, other.sockets, strict=True)):
            came.sendall(str(number).encode())
            assert ours.recv(8) == str(number).encode()
            came.close()
            assert ours.recv(8) == b"", "a copy of it is still open somewhere"
            ours.close()
        other.sockets.clear()

    sides(scenario)


def test_more_than_a_socket_holds_waits():
    async def scenario(one, other):
        sent = [Left("k" * 100_000, "") for _ in range(50)]
        for message in sent:
            one.channel.send(message)
        other.channel.send(Load(1, 2))
        await until(lambda: len(other.heard) == 50 and one.heard)
        assert other.heard == sent
        assert one.heard == [Load(1, 2)]

    sides(scenario)


@pytest.mark.parametrize("seen", [True, False])
def test_what_was_not_taken_is_kept_for_another(seen):
    async def scenario(one, other):
        if not seen:
            other.channel.close()
        ours, theirs = socket.socketpair()
        one.channel.send(Connection(), theirs)
        if seen:
            await until(lambda: not one.channel.carried)
            other.channel.close()
        await until(lambda: one.lost)
        assert [message for message, _ in one.channel.carried] == ([] if seen else [Connection()])
        assert not one.channel.open
        ours.close()

    sides(scenario)


def test_nothing_is_kept_for_a_side_that_is_gone_already():
    async def scenario(one, other):
        other.channel.close()
        await until(lambda: one.lost)
        ours, theirs = socket.socketpair()
        one.channel.send(Pass(1), theirs)
        assert ours.recv(1) == b""
        ours.close()
        assert (one.lost, other.lost) == (1, 0)

    sides(scenario)


def test_who_would_enter_when_the_supervisor_is_gone_is_told_so():
    async def scenario():
        ours, theirs = socket.socketpair()
        lost = asyncio.Event()
        gateway = Gateway(0, theirs, lost=lost.set, quiet=lambda on: None, renew=lambda settings, apply: "")
        ours.close()
        async with asyncio.timeout(10):
            await lost.wait()
            with pytest.raises(RateLimitError, match="being stopped"):
                await gateway.enter(ANONYMOUS, "")

    asyncio.run(scenario())
