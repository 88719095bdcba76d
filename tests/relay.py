"""A network between a WebRTC client and the server that loses, delays and holds up what it carries.

Rule: the same seed loses the same share of packets; a packet may overtake another one. It stands in the place of the
server's address in the answer, so neither side knows of it.
"""

import asyncio
import random
import re


class _Side(asyncio.DatagramProtocol):
    def __init__(self, received):
        self._received = received

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self._received(self, data, address)


class Relay:
    def __init__(self, seed=0):
        self.loss = 0.0
        self.jitter_s = 0.0
        self.cut = False  # nothing gets through
        self.held = None  # a list: what comes is kept in it
        self.carried = self.lost = 0
        self._random = random.Random(seed)
        self._sides = {}
        self._closed = False

    async def between(self, sdp):
        """The answer with this relay where the server was."""
        address, port = re.search(r"a=candidate:\S+ 1 udp \d+ (127\.0\.0\.1) (\d+) typ host", sdp).groups()
        self._server = (address, int(port))
        self._loop = asyncio.get_running_loop()
        _, self._front = await self._open(self._from_client)
        at = self._front.transport.get_extra_info("sockname")[1]
        line = f"a=candidate:relay 1 udp 2130706431 127.0.0.1 {at} typ host\r\n"
        return re.sub(r"(a=candidate:[^\r\n]*\r\n)+", line, sdp)

    def close(self):
        self._closed = True
        self._front.transport.close()
        for side in filter(None, self._sides.values()):
            side.transport.close()

    def release(self):
        """Let through at once what was held."""
        held, self.held = self.held or [], None
        for send in held:
            send()

    async def _open(self, received):
        return await self._loop.create_datagram_endpoint(lambda: _Side(received), local_addr=("127.0.0.1", 0))

    def _from_client(self, side, data, address):
        if address not in self._sides:
            self._sides[address] = None
            self._loop.create_task(self._first(address))
        elif back := self._sides[address]:  # what comes before that is lost, and sent again
            self._carry(lambda: back.transport.sendto(data, self._server))

    async def _first(self, address):
        reply = lambda side, reply, _: self._carry(lambda: self._front.transport.sendto(reply, address))  # noqa: E731
        _, back = await self._open(reply)
        if self._closed:
            back.transport.close()
        else:
            self._sides[address] = back

    def _carry(self, send):
        self.carried += 1
        if self.cut or self._random.random() < self.loss:
            self.lost += 1
        elif self.held is not None:
            self.held.append(send)
        elif self.jitter_s:
            self._loop.call_later(self._random.uniform(0, self.jitter_s), lambda: self._closed or send())
        else:
            send()
