"""What a request to a worker costs in CPU, on the gateway's side and on the worker's: gRPC's share of it, and no more.

    python benchmarks/fleet_hop.py [--streams 200] [--seconds 10]

Two processes on loopback, a stream a session in each direction, as src/hark/compute/cluster has them: for a request the
gateway sends the new audio (0.32 s of float32) and the request, and the worker answers with a hypothesis. Streams ask
as often as sessions do that talk half of the time. What HAProxy and Ray's own processes take stands beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import grpc
import grpc.aio

from fleet_inputs import load
from fleet_talk import demand

METHOD = "/hark.v1.Transcriber/Session"
AUDIO = b"\x81" + bytes(int(0.32 * 16_000) * 4)
ASK = b"\x82" + bytes(120)
HEARD = b"\x83" + bytes(600)


async def serve() -> None:
    """The worker: a hypothesis for each request, until the standard input ends; then its CPU."""

    async def session(messages: AsyncIterator[bytes], _: object) -> AsyncIterator[bytes]:
        async for message in messages:
            if message[:1] == ASK[:1]:
                yield HEARD

    handler = grpc.method_handlers_generic_handler(
        "hark.v1.Transcriber", {"Session": grpc.stream_stream_rpc_method_handler(session)}
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(time.process_time(), flush=True)
    await server.stop(None)


async def drive(port: int, streams: int, seconds: float, every_s: float) -> int:
    """The gateway: how many requests were answered."""
    answered = 0
    over = time.monotonic() + seconds

    async def talk(channel: grpc.aio.Channel) -> None:
        nonlocal answered
        call = channel.stream_stream(METHOD)()
        while time.monotonic() < over:
            await asyncio.sleep(random.expovariate(1 / every_s))
            await call.write(AUDIO)
            await call.write(ASK)
            await call.read()
            answered += 1
        await call.done_writing()

    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) for _ in range(-(-streams // 50))]
    await asyncio.gather(*(talk(channels[number % len(channels)]) for number in range(streams)))
    for channel in channels:
        await channel.close()
    return answered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    inputs = load()
    turn = demand(inputs)
    every_s = turn.spoken_s / inputs.speech_share / (turn.ends + turn.partials)
    command = [sys.executable, os.path.abspath(__file__), "--serve"]  # noqa: PTH100
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        port = int(worker.stdout.readline())

        def spent() -> float:
            assert worker.stdin is not None
            assert worker.stdout is not None
            print(file=worker.stdin, flush=True)
            return float(worker.stdout.readline())

        asyncio.run(drive(port, options.streams, 2.0, every_s))  # warm
        there, here = spent(), time.process_time()
        answered = asyncio.run(drive(port, options.streams, options.seconds, every_s))
        there, here = spent() - there, time.process_time() - here
        worker.stdin.close()
    figures = {"requests": answered, "gateway_ms": here / answered * 1000, "worker_ms": there / answered * 1000}
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
