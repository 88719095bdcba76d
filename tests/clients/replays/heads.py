"""How the WebSocket libraries of the replayed programs ask for an upgrade: order and spelling of headers.

Rule: `own` are the program's own headers as lines; <host> and <key> are put in by the connection. What .NET, Node and
Python send was captured; for Go and Apple it is put together from what is published.
"""


def _lines(*parts):
    return "\n".join(part.strip() for part in parts if part.strip()) + "\n"


def dotnet(target, own, subprotocol=""):
    """System.Net.WebSockets.ClientWebSocket of .NET 8."""
    return _lines(
        f"GET {target} HTTP/1.1\nHost: <host>",
        own,
        "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: <key>",
        f"Sec-WebSocket-Protocol: {subprotocol}" if subprotocol else "",
    )


def node(target, own):
    """`ws` 8 of npm."""
    return _lines(
        f"GET {target} HTTP/1.1",
        own,
        "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: <key>\nConnection: Upgrade\nUpgrade: websocket",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\nHost: <host>",
    )


def go(target, own):
    """github.com/coder/websocket over net/http, which sorts headers and spells them its own way."""
    return _lines(
        f"GET {target} HTTP/1.1\nHost: <host>\nUser-Agent: Go-http-client/1.1",
        own,
        "Connection: Upgrade\nSec-Websocket-Key: <key>\nSec-Websocket-Version: 13\nUpgrade: websocket",
    )


def apple(target, own):
    """URLSessionWebSocketTask of macOS."""
    return _lines(
        f"GET {target} HTTP/1.1\nHost: <host>",
        own,
        "Sec-WebSocket-Key: <key>\nSec-WebSocket-Version: 13\nUpgrade: websocket\nConnection: Upgrade",
        "Sec-WebSocket-Extensions: permessage-deflate\nAccept: */*\nAccept-Language: en-GB,en;q=0.9",
        "Accept-Encoding: gzip, deflate\nUser-Agent: TypeWhisper/1 CFNetwork/1568.100.1 Darwin/24.0.0",
    )


def websocket_client(target, own):
    """websocket-client of PyPI, which always names an origin: that of the server."""
    return _lines(
        f"GET {target} HTTP/1.1\nUpgrade: websocket\nHost: <host>\nOrigin: http://<host>",
        "Sec-WebSocket-Key: <key>\nSec-WebSocket-Version: 13\nConnection: Upgrade",
        own,
    )


def websockets(target, own):
    """websockets of PyPI."""
    return _lines(
        f"GET {target} HTTP/1.1\nHost: <host>\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Key: <key>",
        "Sec-WebSocket-Version: 13\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        own,
        "User-Agent: Python/3.12 websockets/15.0",
    )
