"""uvicorn as Hark runs it, and the socket that it listens on."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from hark.config import Settings
from hark.edge import addresses, patience, reading, tls
from hark.edge.patience import Http, Strangers
from hark.errors import OperatorError

# Seconds.
GONE_AFTER_S: Final = 60
# A frame may carry 15 MiB of audio in base64 (contract B.4); past this size the transport itself closes with 1009.
MAX_FRAME_BYTES: Final = 32 * 1024 * 1024


class Server(uvicorn.Server):
    """uvicorn inside a program that handles signals, and accepts connections, itself."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._strangers = Strangers()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def adopt(self, connection: socket.socket) -> None:
        """Serve a connection that was accepted. Raises OSError if it breaks off first, or shakes no hands over TLS."""

        def protocol() -> asyncio.Protocol:
            return Http(self.config, self.server_state, self.lifespan.state, strangers=self._strangers)

        loop, tls_ = asyncio.get_running_loop(), self.config.ssl
        handshake_s = patience.HEAD_S if tls_ else None
        await loop.connect_accepted_socket(protocol, connection, ssl=tls_, ssl_handshake_timeout=handshake_s)


def configured_as(app: ASGIApp, settings: Settings, certificate: tls.Certificate | None) -> uvicorn.Config:
    proxies = addresses.proxies(settings.forwarded_allow_ips)
    return uvicorn.Config(
        app,
        http=Http,
        ws=reading.Reader,
        ws_max_size=MAX_FRAME_BYTES,
        # A client whom we keep waiting cannot answer: its pong lies behind the audio that is not read yet.
        ws_ping_timeout=None,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        timeout_graceful_shutdown=5,
        ssl_certfile=certificate.chain if certificate else None,
        ssl_keyfile=certificate.key if certificate else None,
    )


def listen(settings: Settings) -> socket.socket:
    """Raises OperatorError if the port cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        other = "another --port, or HARK_PORT" if error.errno == errno.EADDRINUSE else "another --host, or HARK_HOST"
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        raise OperatorError(f"Cannot listen on {settings.host}:{settings.port}: {why}. Try {other}.") from error
    # asyncio sets this only on sockets that name their protocol; without it an event can wait 40 ms for an ack.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # the pings of a peer that is gone without a word go unacknowledged
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_AFTER_S * 1000)
    return listener


def url_of(settings: Settings, listener: socket.socket) -> str:
    host, port = settings.host, listener.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http{'s' if settings.tls else ''}://{shown}:{port}"
