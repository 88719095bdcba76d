"""The echo app's deployment, and a stream to it that says a message and waits for the answer."""

import contextlib
import queue
import uuid

import grpc

METHOD = "/hark.test.Echo/Talk"


def deploy_echoes(cluster, *, replicas):
    deployment = {"name": "Echo", "num_replicas": replicas, "graceful_shutdown_timeout_s": 8}
    cluster.deploy(
        {
            "grpc_options": {"grpc_servicer_functions": ["echo_app.add_echo"]},
            "applications": [{"name": "echo", "import_path": "echo_app:app", "deployments": [deployment]}],
        }
    )


class Stream:
    def __init__(self, address):
        # A channel of its own, that takes no other's connection: HAProxy chooses a replica for a stream all the same.
        self._channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._sent = queue.SimpleQueue()
        self._answers = self._channel.stream_stream(METHOD)(iter(self._sent.get, None))

    def say(self):
        """Who answered: a pid. Raises grpc.RpcError when the stream has ended."""
        message = uuid.uuid4().hex.encode()
        self._sent.put(message)
        pid, _, rest = next(self._answers).partition(b" ")
        assert rest.endswith(message)
        return int(pid)

    def close(self):
        self._sent.put(None)
        self._answers.cancel()
        self._channel.close()


@contextlib.contextmanager
def streams(address, count):
    opened = [Stream(address) for _ in range(count)]
    try:
        yield opened
    finally:
        for stream in opened:
            stream.close()
