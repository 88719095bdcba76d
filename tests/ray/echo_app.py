"""A deployment that answers each message with its pid, its version and the message: what the cluster itself is tried
with. One bidirectional stream, bytes both ways.
"""

import os
from dataclasses import dataclass

import grpc
from ray import serve

METHOD = "/hark.test.Echo/Talk"


def add_echo(servicer, server):
    """What Serve calls to learn the methods (`grpc_servicer_functions`)."""
    talk = grpc.stream_stream_rpc_method_handler(servicer.Talk, None, None)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("hark.test.Echo", {"Talk": talk}),))


@dataclass(frozen=True)
class Raw:
    """Bytes in the shape that Serve asks of an answer."""

    content: bytes

    def SerializeToString(self):  # protobuf's name
        return self.content


@serve.deployment(max_ongoing_requests=64, graceful_shutdown_timeout_s=30)
class Echo:
    def __init__(self):
        self.version = ""

    def reconfigure(self, config):
        self.version = config.get("version", "")

    async def Talk(self, messages):
        async for message in messages:
            yield Raw(b"%d %s " % (os.getpid(), self.version.encode()) + message)


app = Echo.bind()
