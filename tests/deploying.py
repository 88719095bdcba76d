"""A client of a server that stands behind something: a proxy, a container."""

import re
import socket
import ssl
from contextlib import contextmanager

from websockets.sync.client import connect

from serving import Wire

ANYONE = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ANYONE.check_hostname, ANYONE.verify_mode = False, ssl.CERT_NONE


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@contextmanager
def session_at(url, key, query="intent=transcription"):
    address = f"ws{url.removeprefix('http')}/v1/realtime?{query}"
    headers = {"Authorization": f"Bearer {key}"}
    secure = ANYONE if address.startswith("wss:") else None
    with connect(address, ssl=secure, additional_headers=headers, compression=None) as talking:
        yield Wire(talking)


def words(text):
    return set(re.findall(r"\w+", text.lower()))
