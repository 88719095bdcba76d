"""The gRPC service of workers, as gRPC's and Serve's servers take it.

Messages stay bytes: wire.py reads and writes them. So there is no .proto file, and nothing that is generated.
"""

from __future__ import annotations

from typing import Any

import grpc

from hark.compute.cluster import wire


def add_transcriber_to_server(servicer: Any, server: Any) -> None:
    """In the manner of gRPC's generated functions: what Serve's `grpc_servicer_functions` names."""
    handlers = {wire.METHOD: grpc.stream_stream_rpc_method_handler(getattr(servicer, wire.METHOD))}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(wire.SERVICE, handlers),))
