"""What every Ray worker process of the test cluster begins with: mends how Serve 2.60 asks for a port of its own.

It says so in a string ("grpc.so_reuseport", "0"), which gRPC ignores. Serve counts ports by node, so replicas of two
nodes on one machine would share a port, and a stream for the one would reach the other. Refused, it takes the next one.
"""

import sys

if any(word.endswith("default_worker.py") for word in sys.orig_argv):
    from grpc.aio import _server

    began = _server.Server.__init__

    def begin(self, *arguments, **named):
        if "options" in named:  # as Serve's own server gives them
            named["options"] = [
                (name, int(value) if name == "grpc.so_reuseport" else value) for name, value in named["options"]
            ]
        began(self, *arguments, **named)

    _server.Server.__init__ = begin
