"""A TCP cable between a client and the server that can be pulled out: `async with Cable(server.url) as cable`."""

import asyncio
from urllib.parse import urlsplit


class Cable:
    def __init__(self, url):
        self._to = urlsplit(url)
        self._ends = set()
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{self._to.scheme}://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self.pull()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def pull(self):
        """Cut what is connected now, without a word to either side. It may be plugged in again at once."""
        for writer in self._ends:
            writer.transport.abort()
        self._ends.clear()

    async def _connected(self, reader, writer):
        there, back = await asyncio.open_connection(self._to.hostname, self._to.port)
        self._ends |= {writer, back}
        self._tasks |= {asyncio.create_task(carry(reader, back)), asyncio.create_task(carry(there, writer))}


async def carry(reader, writer):
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
