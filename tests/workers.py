"""Workers as a Ray cluster has them, without Ray: the same service on plain gRPC, in a thread, to be broken at will.

Rule: a worker is lost as a gateway sees it: its streams break, or nothing comes over them any more.
"""

import asyncio
import contextlib
import threading
from concurrent.futures import Future

import grpc
import grpc.aio

from hark.compute.cluster import wire
from hark.compute.cluster.host import Host
from hark.compute.cluster.service import add_transcriber_to_server
from hark.compute.scheduler import LocalCompute
from hark.models.catalog import installed
from hark.models.files.pull import models_folder

PATIENCE_S = 30


class Worker:
    """One process' worth: a replica of each of these models."""

    def __init__(self, name, models, engines):
        self.name = name
        self.streams = 0
        self.silent = False
        self.received = []  # messages, decoded
        self._hosts = {}
        self._calls = set()
        self._computes = []
        for engine in engines:
            compute = LocalCompute({engine: models[engine]}, folder=models_folder(None), threads=2)
            self._computes.append(compute)
            self._hosts[wire.application(engine)] = Host(compute, engine, name)

    async def start(self):
        for compute, application in zip(self._computes, self._hosts, strict=True):
            await compute.start(application.removeprefix("hark-"))

    @property
    def waiting(self):
        """Requests that no model has begun on."""
        return sum(compute.waiting for compute in self._computes)

    def knows(self, application):
        return application in self._hosts

    async def session(self, application, messages, context):
        self.streams += 1
        self._calls.add(context)
        try:
            async for answer in self._hosts[application].session(self._noted(messages)):
                if self.silent:
                    await asyncio.Event().wait()
                yield answer
        finally:
            self._calls.discard(context)
            self.streams -= 1

    async def _noted(self, messages):
        async for message in messages:
            self.received.append(wire.asked(message))
            yield message

    def lose(self):
        """Every stream of it breaks."""
        self._breaking = [asyncio.ensure_future(_break(call)) for call in self._calls]

    def stop(self):
        for compute in self._computes:
            compute.stop()


async def _break(call):
    with contextlib.suppress(Exception):  # with which gRPC ends the call from within
        await call.abort(grpc.StatusCode.CANCELLED, "Stream removed")  # what HAProxy makes of a process that died


class Workers:
    """`count` workers behind one port. A stream goes to the one that has the fewest and is not `away`."""

    def __init__(self, *engines, count=1, models=None, token=None):
        self._token = token
        self._engines = engines or ("scripted",)
        self._models = models or installed()
        self._count = count
        self.away = set()
        ready = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)))
        self._thread.start()
        self.port, self._loop, self._stop = ready.result(PATIENCE_S)
        self.url = f"ray://127.0.0.1:{self.port}"

    def __getitem__(self, index):
        return self._workers[index]

    def do(self, work):
        """Call this where the workers live; what it gives."""
        done = Future()

        def run():
            try:
                done.set_result(work())
            except Exception as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result(PATIENCE_S)

    def lose(self, index=0):
        self.do(self._workers[index].lose)

    def stop(self):
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    async def Session(self, messages, context):
        if not wire.admits(self._token, context.invocation_metadata()):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "another token, or none")
        application = dict(context.invocation_metadata()).get(wire.APPLICATION)
        here = [worker for worker in self._workers if worker not in self.away]
        if not here:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no replica is there")
        worker = min(here, key=lambda each: each.streams)
        if not worker.knows(application):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Application '{application}' not found.")
        async for answer in worker.session(application, messages, context):
            yield answer

    async def _serve(self, ready):
        try:
            self._workers = [Worker(f"worker {number}", self._models, self._engines) for number in range(self._count)]
            for worker in self._workers:
                await worker.start()
            server = grpc.aio.server()
            add_transcriber_to_server(self, server)
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            stop = asyncio.Event()
            ready.set_result((port, asyncio.get_running_loop(), stop))
            await stop.wait()
            await server.stop(None)
            for worker in self._workers:
                await asyncio.to_thread(worker.stop)
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)
