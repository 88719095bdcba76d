"""A server that behaves as OpenAI's Realtime API does and did, in a thread of its own, with a switch for each way in
which it refused or misled people.

    with Pretender(beta="on", secrets="expired") as openai:
        client = OpenAI(base_url=f"{openai.url}/v1", api_key=openai.key)

Rule: it says what OpenAI said, in those words, and knows nothing of Hark. `switches.py` has the ways, `texts.py` the
words and which of them are not known.
"""

import asyncio
import tempfile
import threading
from concurrent.futures import Future
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from hark.edge.unreadable import Parting
from pretender import certificates
from pretender.desk import Desk
from pretender.front import Front
from pretender.realtime import Realtime, wrong_path
from pretender.rest import Rest
from pretender.session import TRANSCRIPT
from pretender.switches import Switches

__all__ = ["KEY", "TRANSCRIPT", "Pretender", "Switches"]

KEY = "sk-proj-the-pretender-takes-this-key-0001"
PATIENCE_S = 20


class Pretender:
    """`url` is its base URL without /v1, `key` the API key it takes, `certificate` the file that makes its TLS trusted,
    `seen` what was asked of it."""

    def __init__(self, **switches):
        self.switches, self.key, self.seen = Switches(**switches), KEY, []
        self._folder = tempfile.TemporaryDirectory()
        self.certificate, self._private = None, None
        if self.switches.tls:
            self.certificate, self._private = certificates.make(self.switches.tls, Path(self._folder.name))
        ready = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        port, self._stop = ready.result(PATIENCE_S)
        self.url = f"http{'s' if self.switches.tls else ''}://127.0.0.1:{port}"

    def stop(self):
        self._stop()
        self._thread.join()
        self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _application(self):
        realtime = Realtime(self.switches, house := Desk(self.switches, self.key))
        rest = Rest(self.switches, house, realtime)
        sockets = [WebSocketRoute("/v1/realtime", realtime.serve), WebSocketRoute("/{path:path}", wrong_path)]
        return Front(Starlette(routes=[*sockets, *rest.routes()]), self.switches, self.seen), rest.calls

    async def _serve(self, ready):
        loop = asyncio.get_running_loop()
        application, calls = self._application()
        server = uvicorn.Server(
            uvicorn.Config(
                application,
                port=0,
                ws=Parting,
                ws_max_size=32 * 1024 * 1024,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=2,
                ssl_certfile=self.certificate,
                ssl_keyfile=self._private,
            )
        )
        serving = asyncio.create_task(server.serve())
        while not server.started:
            if serving.done():
                serving.result()
            await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]

        def stop():
            server.should_exit = True

        ready.set_result((port, lambda: loop.call_soon_threadsafe(stop)))
        await serving
        await calls.stop()
