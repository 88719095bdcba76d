"""What is no request at all, or no handshake: refused by the parsers before any route is looked up.

Rule: these too are answered with the envelope of an error (contract A.0), where uvicorn and websockets would answer a
line of text. What was sent is not repeated: a key may stand in it. A head is kept in memory before anybody is asked who
sends it, so it has a bound; uvicorn has none.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from http import HTTPStatus
from typing import Any, Final

from httptools import HttpParserUpgrade
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import StatusLike

from hark.edge import status
from hark.errors import CallerError, HarkError

MAX_HEAD_BYTES: Final = 64 * 1024


class Http(HttpToolsProtocol):
    """Bytes count while nothing is complete: neither a head nor a piece of a body. So trailers are bounded too."""

    _steps = 0
    _incomplete_bytes = 0
    _data = b""  # while it is read

    def data_received(self, data: bytes) -> None:
        before, self._data = self._steps, data
        super().data_received(data)
        self._data = b""
        self._incomplete_bytes = self._incomplete_bytes + len(data) if self._steps == before else 0
        if self._incomplete_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("too long")

    def handle_websocket_upgrade(self) -> None:
        """With what came behind the handshake in the same read, which uvicorn drops: it is a client's first message."""
        cause, data = sys.exception(), self._data
        super().handle_websocket_upgrade()
        protocol = self.transport.get_protocol()
        if isinstance(cause, HttpParserUpgrade) and isinstance(protocol, WebSockets) and len(data) > cause.args[0]:
            protocol.data_received(data[cause.args[0] :])

    def on_message_begin(self) -> None:
        self._steps += 1
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._steps += 1
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._steps += 1
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._steps += 1
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        message = (
            "This is no HTTP/1.1 request that can be read: its request line, a header or the length of its body is "
            "malformed or too long. Send it as RFC 9112 has it, and without TLS, which this port does not speak."
        )
        self.refuse(HTTPStatus.BAD_REQUEST, CallerError(message, code="invalid_http"))

    def refuse(self, code: HTTPStatus, error: CallerError) -> None:
        """Answer, past any application, and hang up."""
        body = status.envelope(error).body
        lines = (
            f"HTTP/1.1 {code.value} {code.phrase}".encode(),
            b"content-type: application/json",
            b"content-length: %d" % len(body),
            b"connection: close",
        )
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self.transport.close()


class Parting(WebSocketsSansIOProtocol):
    """Ends with the server also where the client is closing just then, on which uvicorn raises."""

    def shutdown(self) -> None:
        if self.handshake_complete and not self.close_sent and self.conn.state is not State.OPEN:
            self.stop_keepalive()
            self.transport.close()
        else:
            super().shutdown()


class WebSockets(Parting):
    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = Handshakes(max_size=config.ws_max_size, logger=logging.getLogger("uvicorn.error"))
        self._requested = False
        self._ahead = b""
        self._failed = False

    def data_received(self, data: bytes) -> None:
        """The request comes whole. What follows it before it has been answered waits until it has: a fault in there
        could not be answered with a close yet, and uvicorn does not expect one."""
        if self._requested and self.conn.state is State.CONNECTING:
            self._ahead += data
            self.transport.pause_reading()
            return
        self._requested = True
        super().data_received(data)

    def handle_parser_exception(self) -> None:
        self._failed = True
        super().handle_parser_exception()

    async def send(self, message: Any) -> None:
        """uvicorn takes what is said after a fault of the client's, or while the connection closes, for one of ours."""
        if self._failed or self.transport.is_closing():
            if message["type"] == "websocket.close":
                return
            raise ClientDisconnected
        await super().send(message)
        if self._ahead and self.conn.state is State.OPEN:
            ahead, self._ahead = self._ahead, b""
            self.transport.resume_reading()
            self.data_received(ahead)

    def send_receive_event_to_app(self) -> None:
        """A text that is no UTF-8 ends the connection (RFC 6455, 8.1). uvicorn shows a traceback for it, and raises
        where the client's own close came with it."""
        if self.curr_msg_data_type != "text" or self.close_sent or _is_text(b"".join(self.frames)):
            super().send_receive_event_to_app()
            return
        self.frames = []
        if self.conn.state is State.OPEN:
            self.conn.send_close(CloseCode.INVALID_DATA)
            self.handle_parser_exception()


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class Handshakes(ServerProtocol):
    """Without extensions: compression is declined."""

    def reject(self, status: StatusLike, text: str) -> Response:
        response = super().reject(status, text)
        response.body = _refusal(HTTPStatus(status), text)
        del response.headers["Content-Length"], response.headers["Content-Type"]
        response.headers["Content-Length"] = str(len(response.body))
        response.headers["Content-Type"] = "application/json"
        return response


def _refusal(code: HTTPStatus, text: str) -> bytes:
    if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return bytes(
            status.envelope(HarkError("The server failed or is ending; its log says which. Connect again.")).body
        )
    # "Failed to open a WebSocket connection: invalid X header: what it holds."
    why = text.partition(": ")[2].partition(": ")[0].strip().rstrip(".") or code.phrase
    message = f"The WebSocket handshake cannot be accepted: {why}. Send it as RFC 6455 has it."
    return bytes(status.envelope(CallerError(message, code="invalid_handshake")).body)
