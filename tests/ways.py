"""A way to a server on which connections can die without a word, as where the machine at their end loses power."""

import asyncio
import contextlib
import threading
from concurrent.futures import Future

PATIENCE_S = 30


class Way:
    """To this port of this machine, in a thread."""

    def __init__(self, port):
        self._port = port
        self._dead = set()
        self._alive = set()

    def __enter__(self):
        ready = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)))
        self._thread.start()
        port, self._loop, self._stop = ready.result(PATIENCE_S)
        self.url = f"ray://127.0.0.1:{port}"
        return self

    def __exit__(self, *fault):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def die(self):
        """Nothing comes over the connections that there are any more, and nobody learns of it."""
        self._loop.call_soon_threadsafe(lambda: self._dead.update(self._alive))

    async def _serve(self, ready):
        server = await asyncio.start_server(self._lead, "127.0.0.1", 0)
        self._leading = set()
        stop = asyncio.Event()
        ready.set_result((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), stop))
        await stop.wait()
        server.close()
        for leading in self._leading:
            leading.cancel()
        await asyncio.gather(*self._leading, return_exceptions=True)

    async def _lead(self, reader, writer):
        self._leading.add(asyncio.current_task())
        self._alive.add(writer)
        there, on = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            await asyncio.gather(self._pass(reader, on, writer), self._pass(there, writer, writer))
        finally:
            for end in (on, writer):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _pass(self, reader, writer, way):
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if way not in self._dead:
                    writer.write(data)
            writer.close()
