"""A stand-in for servers of OpenAI's /v1/audio/transcriptions, which hears loudness as `scripted` does.

Rule: it behaves as one kind of server (`tells`), but for the mishaps that a test lines up, one a request.
"""

import json
import socket
import struct
import threading
import time
from contextlib import suppress
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from hark.audio.formats import decode
from hark.core.work import SAMPLE_RATE
from hark.models.base import Utterance
from hark.models.scripted import ScriptedEngine

# What servers of each kind know: what they refuse when they are asked for it.
KINDS = {
    "words": (),
    "segments": ("word",),
    "tokens": ("verbose_json",),
    "text": ("verbose_json", "logprobs"),
    "silent": (),  # ignores what it does not know
}
KEY = "sk-upstream-0123456789"


class StandIn:
    """`requests` holds the fields of each, in order; `mishaps` what goes wrong with the next ones, None for nothing."""

    def __init__(self, tells="words", key=KEY, slow_s=0.0):
        self.tells, self.key, self.slow_s = tells, key, slow_s
        self.requests, self.mishaps, self.connections, self.at_once, self.most_at_once = [], [], 0, 0, 0
        self.lock = threading.Lock()
        self.ending = threading.Event()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def setup(self):
                super().setup()
                self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                stand_in.connections += 1

            def do_POST(self):
                stand_in.answer(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # the other end may be gone
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def fields(self):
        """Of the latest request."""
        return self.requests[-1]

    def answer(self, handler):
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            fields, audio = parts(handler.headers["Content-Type"], body)
            self.requests.append(fields | {"path": handler.path, "key": handler.headers["Authorization"]})
            mishap = self.mishaps.pop(0) if self.mishaps else None
        try:
            if self.slow_s:
                self.ending.wait(self.slow_s)
            (mishap or StandIn.transcribe)(self, handler, fields, audio)
        finally:
            with self.lock:
                self.at_once -= 1

    def transcribe(self, handler, fields, audio):
        asked = [*fields.get("timestamp_granularities[]", []), *fields.get("include[]", []), *fields["response_format"]]
        unknown = [each for each in KINDS[self.tells] if each in asked]
        if handler.headers["Authorization"] != f"Bearer {self.key}":
            refuse(401, f"Incorrect API key provided: {handler.headers['Authorization']}")(self, handler, fields, audio)
        elif unknown:
            refuse(400, f"'{unknown[0]}' is not compatible with this model.")(self, handler, fields, audio)
        else:
            reply(handler, 200, self.transcript(asked, audio))

    def transcript(self, asked, audio):
        """As OpenAI's: punctuation stands in the text, and not in the words of which it tells the times."""
        tokens = ScriptedEngine().transcribe([Utterance(audio)])[0].tokens
        words = [token.text.strip() for token in tokens]
        text = ", ".join(words).capitalize() + "." if words else ""
        answer = {"text": text}
        if "verbose_json" in asked and self.tells != "silent":
            answer |= {"task": "transcribe", "language": "english", "duration": len(audio) / SAMPLE_RATE}
            answer["segments"] = [{"id": 0, "start": 0.0, "end": 1.0, "text": f" {text}", "avg_logprob": -0.2}]
            if "word" in asked:
                answer["words"] = [
                    {"word": token.text.strip(), "start": token.start / SAMPLE_RATE, "end": token.end / SAMPLE_RATE}
                    for token in tokens
                ]
        if "logprobs" in asked and self.tells != "silent":
            pieces = text.split(" ")
            spaced = [piece if place == 0 else f" {piece}" for place, piece in enumerate(pieces)] if text else []
            answer["logprobs"] = [{"token": p, "logprob": -0.3, "bytes": list(p.encode())} for p in spaced]
        return answer


def parts(content_type, body):
    """The fields of a form, each a list, and the audio of its file."""
    message = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    fields, audio = {}, None
    for part in message.get_payload():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if name == "file":
            assert part.get_content_type() == "audio/wav"
            audio = samples(content)
        else:
            fields.setdefault(name, []).append(content.decode())
    return fields, audio


def samples(wav):
    kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", wav[20:36])
    assert (wav[:4], wav[8:16], kind, channels, rate, bits) == (b"RIFF", b"WAVEfmt ", 1, 1, SAMPLE_RATE, 16)
    assert struct.unpack("<I", wav[4:8])[0] == len(wav) - 8
    assert struct.unpack("<I", wav[40:44])[0] == len(wav) - 44
    return np.ascontiguousarray(decode(wav[44:], "pcm16"), np.float32)


def reply(handler, status, body, kind="application/json", **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with suppress(OSError):
        handler.send_response(status)
        for name, value in ({"Content-Type": kind, "Content-Length": str(len(content))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)
        handler.wfile.flush()


# ---- mishaps


def refuse(status, message, **headers):
    fault = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    return lambda server, handler, fields, audio: reply(handler, status, fault, **headers)


def page(status):
    html = b"<html><body>secret words of a page</body></html>"
    return lambda server, handler, fields, audio: reply(handler, status, html, kind="text/html")


def raw(body, kind="application/json", status=200, **headers):
    return lambda server, handler, fields, audio: reply(handler, status, body, kind, **headers)


def reset(server, handler, fields, audio):
    """The connection is torn."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


def cut_short(server, handler, fields, audio):
    """Half of the body that was promised, and an orderly end."""
    body = json.dumps({"text": "Alpha."}).encode()
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.close_connection = True


def hang(server, handler, fields, audio):
    """Nothing comes, until the server ends."""
    server.ending.wait(60)
    handler.close_connection = True


def trickle(server, handler, fields, audio):
    """The answer comes, a byte now and then: each soon enough, all of it never."""
    handler.close_connection = True
    with suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
        until = time.monotonic() + 60
        while time.monotonic() < until and not server.ending.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()


def close_after(server, handler, fields, audio):
    """Well answered; then the connection, which was to be kept, is closed without a word."""
    server.transcribe(handler, fields, audio)
    handler.close_connection = True
