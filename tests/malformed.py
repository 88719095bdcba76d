"""Requests that are wrong, some hundred of them, made from tables: each is bytes for a socket, and a name.

Rule: nothing here is left to chance, so what fails once fails again. Every request carries the key, but for those whose
credential is what is wrong.
"""

import json
from itertools import product
from random import Random

from uploading import encoded, pcm, wav

KEY = "sk-malformed-0123456789"
HOST = "Host: hark.example\r\n"
AUTH = HOST + f"Authorization: Bearer {KEY}\r\n"
MINT = [f"/v1/realtime/{name}" for name in ("client_secrets", "transcription_sessions", "sessions")]
UPLOAD = ["/v1/audio/transcriptions", "/v1/audio/translations", "/transcribe"]
KNOWN = ["/", "/health", "/v1/realtime", "/v1/models", "/v1/models/whisper-1", *MINT, *UPLOAD]


def request(method, target, body=b"", headers=AUTH, kind=None):
    kind = f"Content-Type: {kind}\r\n" if kind else ""
    length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
    return f"{method} {target} HTTP/1.1\r\n{headers}{kind}{length}\r\n".encode("latin-1") + body


def everything():
    """Pairs of a name and bytes."""
    families = (
        bad_json, wrong_fields, methods, paths, heads, credentials, forms, form_fields, broken_files, handshakes,
    )  # fmt: skip
    return [(f"{family.__name__} {name}", data) for family in families for name, data in family()]


# ---- minting: bodies that are no JSON, and fields that are wrong

TEXTS = [
    b"{", b"}", b"{]", b"[", b"[]", b'["session"]', b"5", b"-", b"true", b'"text"', b"nul", b"{'a': 1}", b'{"a"}',
    b'{"a":}', b'{"a":1,}', b'{"a" 1}', b'{"model": "x}', b'{"model": "x\n"}', b'{"model": "\\x"}',
    b'{"model": "\\ud800"}', b'{"model": "\xff"}', b'{"model": NaN}', b'{"expires_in": Infinity}',
    b'{"expires_in": 01}', b'{"expires_in": 1e999}', b'{"expires_in": 99999999999999999999999}', b"\x00",
    b"\xff\xfe{\x00}\x00", b"{}{}",
    b"{} x", b"\xef\xbb\xbf5", b"model=whisper-1&language=en", b"<session/>", b'{"session":' + b"{" * 5_000,
    b'{"session":' + b"[" * 20_000 + b"]" * 20_000 + b"}", b'{"a":' * 30_000, b'{"model":"' + b"x" * 300_000 + b'"}',
    b"{" + b" " * 300_000 + b"}",
]  # fmt: skip


def bad_json():
    for target, (number, text) in product(MINT, enumerate(TEXTS)):
        yield f"{target} {number}", request("POST", target, text, kind="application/json")
    chance = Random(7)
    for number in range(20):
        noise = chance.randbytes(chance.randrange(1, 400))
        yield f"noise {number}", request("POST", MINT[number % 3], b"\x80" + noise, kind="application/json")


NO_TEXT, NO_OBJECT, NO_LIST = [5, True, [], {}], [5, "x", [], True], [5, "x", {}, [5]]
NO_WHOLE, NO_NUMBER = ["x", 1.5, [], {}, -1, 10**30], ["x", [], {}, -0.1, 1.1, True]
TURNS = {
    "type": ["nope", 5, [], ""],
    "threshold": NO_NUMBER,
    "prefix_padding_ms": NO_WHOLE,
    "silence_duration_ms": NO_WHOLE,
    "idle_timeout_ms": ["x", -1, 1],
    "eagerness": ["nope", 5],
    "bogus": [1],
}
HEARD = {
    "model": [*NO_TEXT, "gpt-5", "../../etc/passwd", "x" * 5_000],
    "language": NO_TEXT,
    "prompt": NO_TEXT,
    "languages": NO_LIST,
    "keywords": NO_LIST,
    "bogus": [1],
}
LIFETIME = {"anchor": ["now", 5, None], "seconds": ["x", 9, 7_201, -1, 60.5, [], 10**30]}


def inside(path, values):
    """(path, value) for each wrong value of each field of an object."""
    return [(f"{path}.{name}", value) for name, wrong in values.items() for value in wrong]


FLAT = [
    *[(name, value) for name in ("model", "language") for value in NO_TEXT],
    *[("vad", value) for value in (5, "on", [], {"enabled": "x"}, {"bogus": 1})],
    *[("expires_in", value) for value in ("x", 1.5, -1, 9, 7_201, [])],
    ("bogus", 1), ("", 1), ("model ", "whisper-1"), ("Model", "whisper-1"), ("x" * 2_000, 1),
]  # fmt: skip
GA = [
    *[(path, value) for path in ("session", "session.audio", "session.audio.input") for value in NO_OBJECT],
    *[("session.type", value) for value in ("nope", 5, [], "")],
    *[("session.include", value) for value in (5, "x", {}, ["nope"], [5])],
    *[("session.audio.input.format", value) for value in ("x", 5, [], {"type": "audio/mp3"})],
    *[("session.audio.input.format", {"type": "audio/pcm", "rate": value}) for value in ("x", 0, -1, 7_999, 48_001)],
    *[("session.audio.input.noise_reduction", value) for value in ("x", 5, [], {"type": "nope"})],
    *[("session.audio.input.transcription", value) for value in NO_OBJECT],
    *[("session.audio.input.turn_detection", value) for value in NO_OBJECT],
    *[("expires_after", value) for value in (5, "x", [], {})],
    *inside("session.audio.input.transcription", HEARD),
    *inside("session.audio.input.turn_detection", TURNS),
    *inside("expires_after", LIFETIME),
    ("session.bogus", 1), ("session.audio.bogus", 1), ("session.audio.input.bogus", 1),
]  # fmt: skip
BETA = [
    *[("input_audio_format", value) for value in (5, "mp3", [], {"type": "pcm16", "rate": 1})],
    *[("input_audio_noise_reduction", value) for value in ("x", 5, {"type": "nope"})],
    *[(name, value) for name in ("input_audio_transcription", "turn_detection") for value in NO_OBJECT],
    *[("include", value) for value in (5, "x", {}, ["nope"])],
    *[("client_secret", value) for value in (5, "x", [], {"bogus": 1}, {"expires_at": {}})],
    *inside("input_audio_transcription", HEARD),
    *inside("turn_detection", TURNS),
    *inside("client_secret.expires_at", LIFETIME),
]  # fmt: skip


def wrong_fields():
    for target, fields in zip(MINT, ([*FLAT, *GA], [*FLAT, *BETA], BETA), strict=True):
        for path, value in fields:
            body = json.dumps(nested(path, value)).encode()
            shown = repr(value)[:30]
            yield f"{target} {path[:60]}={shown}", request("POST", target, body, kind="application/json")


def nested(path, value):
    """{"a": {"b": value}} for "a.b", with the fields beside it that make it the only thing that is wrong."""
    first, _, rest = path.partition(".")
    body = {first: nested(rest, value) if rest else value}
    if first in ("expires_after", "expires_at") and rest == "seconds":
        body[first]["anchor"] = "created_at"
    if first == "turn_detection" and rest and rest != "type":
        body[first]["type"] = "semantic_vad" if rest == "eagerness" else "server_vad"
    return body


# ---- methods, paths, heads, credentials


def methods():
    for method, target in product(["PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"], KNOWN):
        yield f"{method} {target}", request(method, target)
    for target in ("/", "/health", "/v1/models", "/v1/models/whisper-1"):
        yield f"POST {target}", request("POST", target, b"{}")
    for target in [*MINT, *UPLOAD]:
        yield f"GET {target}", request("GET", target)


PATHS = [
    "//", "/v1", "/v1/", "/v2/realtime", "/v1//models", "/v1/models/x/y", "/v1/models/%2e%2e%2f", "/v1/../etc/passwd",
    "/%00", "/%ff%fe", "/%", "/%zz", "/..;/", "/v1/realtime/client_secrets/x", "/v1/realtime/calls", "/v1/audio",
    "/v1/audio/speech", "/v1/chat/completions", "/v1/models/" + "a" * 5_000, "/v1/models/" + "%20" * 500,
    "/" + "a" * 70_000, "/?" + "a=" * 10_000, "/v1/models/%F0%9F%99%82", "/v1/models/silero-vad", "*",
    "http://elsewhere.example/x",
    "/v1/models/\xff", "/a\tb", "/ HTTP/1.1 x", "no-slash", "/v1/realtime#x", "/.env", "/wp-login.php",
    "/test", "/readyz",
]  # fmt: skip


def paths():
    for path in PATHS:
        if not path.startswith("/?"):
            yield path[:40], request("GET", path)
        yield f"POST {path[:40]}", request("POST", path, b"{}", kind="application/json")


HEADS = [
    b"\r\n\r\ngarbage\r\n\r\n", b"GET\r\n\r\n", b"get / HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/x\r\n\r\n", b"GET / http/1.1\r\n\r\n", b"CONNECT hark.example:443 HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    b"\x00" * 20 + b"\r\n\r\n", b"SSH-2.0-OpenSSH_9.7\r\n", b"\x05\x01\x00\r\n\r\n",
    b'{"type":"session.update"}\r\n\r\n',
]  # fmt: skip
LINES = [
    "no colon", ": no name", "A\x00B: x", "A: \x00", "A B: x", "(: x", "A: x\r\n continued\x00", "Content-Length: x",
    "Content-Length: -1", "Content-Length: 1e3", "Content-Length: 0x10", "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 2\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked, chunked\r\nContent-Length: 1",
    "Content-Length: 99999999999999999999999999",
]  # fmt: skip


def heads():
    for number, data in enumerate(HEADS):
        yield str(number), data
    for line, target in product(LINES, ["/health", MINT[0]]):
        yield f"{line[:40]!r} {target}", f"POST {target} HTTP/1.1\r\n{AUTH}{line}\r\n\r\n".encode("latin-1") + b"{}"
    for chunks in (b"zz\r\n", b"-1\r\n\r\n", b"2\r\n{}x\r\n0\r\n\r\n", b"ffffffffffffffffffff\r\n"):
        head = f"POST {MINT[1]} HTTP/1.1\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n".encode()
        yield f"chunk {chunks[:10]!r}", head + chunks


SECRETS = [
    "x", "ek_", "ek_x", "ek_" + "A" * 32, "ek_" + "=" * 40, "ek_!!!!", "ek_" + "A" * 8_000, "ek_" + "-_" * 50,
    "ek_\xe9\xff", "sk-", KEY[:-1], KEY + "x", KEY.upper(), f" {KEY} x", "undefined", "null", "ek_QUJD.QUJD",
    "hk_" + "a" * 40,
    "\xff" * 9, "ek_" + "AAAA" * 11, "ek_%00", "ek_ek_ek_", "Bearer", "0", "ek_" + "A" * 31 + "\x7f",
]  # fmt: skip


def credentials():
    """On an endpoint for which only the key will do, and on the socket."""
    for number, secret in enumerate(SECRETS):
        for name, lines in (
            ("bearer", f"Authorization: Bearer {secret}"),
            ("basic", f"Authorization: Basic {secret}"),
            ("api-key", f"api-key: {secret}"),
            ("bare", f"Authorization: {secret}"),
        ):
            target = KNOWN[3 + number % 6]
            method = "POST" if target in (*MINT, *UPLOAD) else "GET"
            if target != "/v1/realtime":
                yield f"{name} {number}", request(method, target, headers=f"{HOST}{lines}\r\n")
        yield f"socket {number}", handshake(headers=f"{HOST}Authorization: Bearer {secret}\r\n")


# ---- uploads

FORM = "multipart/form-data; boundary=b"


def part(disposition, content=b"x", more=b""):
    return b"--b\r\nContent-Disposition: " + disposition + more + b"\r\n\r\n" + content + b"\r\n"


END = b"--b--\r\n"
FILE = part(b'form-data; name="file"; filename="a.wav"', wav())
KINDS = [
    None, "application/json", "application/x-www-form-urlencoded", "audio/wav", "multipart/mixed; boundary=b",
    "multipart/form-data", "multipart/form-data; boundary=", 'multipart/form-data; boundary="',
    "multipart/form-data; b=b", "multipart/form-data; boundary=c", "multipart/form-data; boundary=" + "b" * 3_000,
    "\xff\xfe", ";;;", "text/plain",
]  # fmt: skip
FORMS = [
    b"", END, b"garbage", FILE, FILE[:100], FILE[:-1], FILE + b"--b", FILE.replace(b"--b", b"--c") + END, END + FILE,
    b"--b\r\n\r\nx\r\n" + END, part(b"form-data") + END, part(b'form-data; name=""') + END, part(b"attachment") + END,
    part(b'form-data; name="file"') + END, part(b'form-data; filename="a.wav"', wav()) + END,
    part(b'form-data; name="model"', b"whisper-1") + END, FILE + FILE + END, part(b'form-data; name="\xff"') + END,
    part(b'form-data; name="file"; filename="a.wav"', b"") + END, b"--b\r\nno colon\r\n\r\nx\r\n" + END,
    b"--b\r\n" + b"A: x\r\n" * 2_000 + b"\r\nx\r\n" + END,
    part(b'form-data; name="x"', b"", b"\r\nX: " + b"y" * 20_000) + END,
    FILE[:60] + b"\x00" * 500 + END, bytes(range(256)) * 8, FILE.replace(b"\r\n", b"\n") + b"--b--\n",
]  # fmt: skip


def forms():
    for target in (UPLOAD[0], UPLOAD[2]):
        for kind in KINDS:
            yield f"{target} {str(kind)[:50]!r}", request("POST", target, FILE + END, kind=kind)
        for number, body in enumerate(FORMS):
            yield f"{target} {number}", request("POST", target, body, kind=FORM)
    huge = f"POST {UPLOAD[0]} HTTP/1.1\r\n{AUTH}Content-Type: {FORM}\r\nContent-Length: 99999999999\r\n\r\n"
    yield "huge", huge.encode() + FILE
    yield "translation", request("POST", UPLOAD[1], FILE + END, kind=FORM)


FIELDS = {
    "model": ["nope", "gpt-realtime", "\xff", "x" * 3_000, "../x", "silero-vad", "gpt-4o-transcribe-diarize"],
    "response_format": ["xml", "JSON", "5", "\x00", "json,text"],
    "language": ["english", "xx", "e", "1", "en-US", "\xe9"],
    "languages[]": ["qq", "1"],
    "temperature": ["-0.1", "1.1", "hot", "nan", "inf", "1e999"],
    "stream": ["yes", "2", "null"],
    "include[]": ["tokens", "[]"],
    "timestamp_granularities[]": ["letter", "word"],
    "chunking_strategy": ["server_vad", "{", "[]", "1", '{"type":"auto"}', '{"type":"server_vad","x":1}', "[" * 50_000],
    "chunking_strategy[type]": ["nope"],
    "keywords[]": ["<a", "a\nb"],
}


def form_fields():
    for name, values in FIELDS.items():
        for value in values:
            field = part(f'form-data; name="{name}"'.encode(), value.encode("latin-1"))
            yield f"{name}={value[:30]!r}", request("POST", UPLOAD[0], FILE + field + END, kind=FORM)
    many = part(b'form-data; name="x"') * 400
    yield "too many", request("POST", UPLOAD[0], many + FILE + END, kind=FORM)
    large = part(b'form-data; name="prompt"', b"x" * 4_300_000)
    yield "too large", request("POST", UPLOAD[0], large + END, kind=FORM)


def broken_files():
    """Files of which no sound can be read: cut in the head, filled with noise after it, or something else."""
    noise, sound = Random(11).randbytes(3_000), pcm(48_000)
    files = {"nothing": b"", "zeros": bytes(4_000), "text": b"no sound at all " * 200, "noise": b"\x01" + noise}
    files |= {"png": b"\x89PNG\r\n\x1a\n" + noise, "zip": b"PK\x03\x04" + noise, "html": b"<!doctype html>" * 50}
    for container, codec in (
        ("ogg", "libopus"),
        ("mp4", "aac"),
        ("flac", "flac"),
        ("webm", "libopus"),
        ("wav", "pcm_s16le"),
    ):
        whole = encoded(sound, container, codec)
        for kept in (4, 12, 24):
            files[f"{container} cut at {kept}"] = whole[:kept]
            files[f"{container} noise from {kept}"] = whole[:kept] + noise
    head = bytearray(wav())
    for name, place, value in (
        ("no channels", 22, bytes(2)),
        ("no rate", 24, bytes(4)),
        ("strange codec", 20, b"\xfe\x7f"),
    ):
        files[name] = bytes(head[:place] + value + head[place + len(value) :])
    files["a tenth of a second"] = wav(bytes(3_000))
    for name, data in files.items():
        for model in ("whisper-1", "gpt-4o-transcribe"):
            body = part(b'form-data; name="model"', model.encode())
            body += part(b'form-data; name="file"; filename="a.wav"', data) + END
            yield f"{name} for {model}", request("POST", UPLOAD[0], body, kind=FORM)


# ---- WebSocket

GOOD = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


def handshake(target="/v1/realtime?intent=transcription", headers=AUTH, own=GOOD, method="GET", upgrade="websocket"):
    lines = f"{headers}Connection: Upgrade\r\nUpgrade: {upgrade}\r\n{own}"
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def handshakes():
    own = {
        "no key": "Sec-WebSocket-Version: 13\r\n",
        "no version": "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "old version": GOOD.replace("13", "8"),
        "two versions": GOOD + "Sec-WebSocket-Version: 13\r\n",
        "short key": GOOD.replace("dGhlIHNhbXBsZSBub25jZQ==", "YQ=="),
        "no base64": GOOD.replace("dGhlIHNhbXBsZSBub25jZQ==", "***"),
        "two keys": GOOD + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "bad protocol": GOOD + "Sec-WebSocket-Protocol: realtime openai-insecure-api-key.k\r\n",
    }
    for name, lines in own.items():
        yield name, handshake(own=lines)
    yield "by POST", handshake(method="POST")
    yield "to h2c", handshake(upgrade="h2c")
    for target in ("/", "/health", "/v1/models", "/v1/realtimes", "/v1/realtime/sessions/x", "/%ff", "/" + "a" * 900):
        yield target[:40], handshake(target)
    for query in ("model=gpt-5", "intent=transcription&model=x", "model=%ff", "model=" + "m" * 3_000, "call_id=rtc_1"):
        yield query[:40], handshake(f"/v1/realtime?{query}")
    yield "nobody", handshake(headers=HOST)
