"""A TCP line between a client and a server that can be cut, held up and mended: `with Line(server.url) as line`.

Rule: neither side is told; who connects while it is cut is thrown out at once.
"""

import asyncio
import threading
from urllib.parse import urlsplit

from serving import PATIENCE_S


class Line:
    """`url`: where clients reach the server. `to`: the server that whoever comes next is led to."""

    def __init__(self, url):
        self.to = url
        self.carried = 0  # bytes, to the server
        self._whole = True
        self._flowing = None
        self._ends = set()

    def __enter__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._do(self._open())
        return self

    def __exit__(self, *_):
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self):
        """How many connections that ended."""
        return self._do(self._drop())

    def hold(self):
        """Nothing gets through, and nothing breaks."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def mend(self):
        self._whole = True
        self._loop.call_soon_threadsafe(self._flowing.set)

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _open(self):
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _close(self):
        self._server.close()
        self._flowing.set()
        await self._drop()
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.01)

    async def _drop(self):
        self._whole = False
        cut = len(self._ends) // 2
        for writer in self._ends:
            writer.transport.abort()
        self._ends.clear()
        return cut

    async def _connected(self, reader, writer):
        if not self._whole:
            writer.transport.abort()
            return
        to = urlsplit(self.to)
        try:
            there, back = await asyncio.open_connection(to.hostname, to.port)
        except OSError:
            writer.transport.abort()
            return
        self._ends |= {writer, back}
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, back, count=True))
                both.create_task(self._carry(there, writer))
        finally:
            self._ends -= {writer, back}

    async def _carry(self, reader, writer, *, count=False):
        try:
            while data := await reader.read(65_536):
                await self._flowing.wait()
                self.carried += len(data) if count else 0
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
