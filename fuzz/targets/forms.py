"""Uploads: edge/forms.py and protocol/uploads.py. The first line is the content type, the rest the body.

Only errors of the caller come out, and each can be told in JSON, as an answer is.
"""

import asyncio

from starlette.requests import ClientDisconnect, Request

from hark.core.settings import ModelCard
from hark.edge import status
from hark.edge.forms import read_form
from hark.errors import CallerError
from hark.protocol.uploads import read_upload

MAX_FILE_BYTES = 2_000
MAX_BYTES = 2_000
KIND = b"multipart/form-data; boundary=b"
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n'
CARDS = {
    name: ModelCard(name, "scripted", diarizes="diarize" in name)
    for name in ("scripted", "whisper-1", "gpt-4o-transcribe", "gpt-4o-transcribe-diarize")
}
FIELDS = {
    "model": "whisper-1", "response_format": "verbose_json", "language": "en", "languages[]": "de", "prompt": "x",
    "temperature": "0.5", "stream": "true", "include[]": "logprobs", "timestamp_granularities[]": "word",
    "chunking_strategy": '{"type":"server_vad","threshold":0.5}', "chunking_strategy[type]": "server_vad",
    "keywords[0]": "k", "known_speaker_names[]": "a", "known_speaker_references[]": "data:audio/wav;base64,AAAA",
}  # fmt: skip
TOKENS = [
    *(f'name="{name}"'.encode() for name in FIELDS), *(value.encode() for value in FIELDS.values()), b"--b", b"--b--",
    b"\r\n\r\n", b"Content-Disposition: form-data; ", b"filename*=utf-8''", b"filename*=utf-16''%00",
    b"; charset=utf-8",
    b"Content-Type: text/plain; charset=", b"Content-Transfer-Encoding: base64", b'"', b"gpt-4o-transcribe-diarize",
    b"diarized_json", b'"auto"', b"utf-16", b"utf-7", b"idna", b"punycode", b"boundary=", b"\\ud800",
]  # fmt: skip


def seeds():
    yield "plain", KIND + b"\n" + FILE + b"--b--\r\n"
    yield "all", KIND + b"\n" + b"".join(_part(*field) for field in FIELDS.items()) + FILE + b"--b--\r\n"
    for name, value in FIELDS.items():
        yield name.replace("[", "-").strip("]"), KIND + b"\n" + _part(name, value) + FILE + b"--b--\r\n"
    yield "quoted", b'multipart/form-data; boundary="b"\n' + FILE + b"--b--"
    yield "cut", KIND + b"\n" + FILE
    yield "star", KIND + b"\n" + FILE.replace(b"filename=", b"filename*=utf-8''") + b"--b--\r\n"


def _part(name, value):
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def check(data):
    kind, _, body = data.partition(b"\n")
    cut = len(kind) % 50 + 1
    chunks = [body[at : at + cut] for at in range(0, len(body), cut)]
    try:
        asyncio.run(_read(kind, chunks))
    except (CallerError, ClientDisconnect) as error:
        if isinstance(error, CallerError):
            assert status.envelope(error).body


async def _read(kind, chunks):
    left = iter(chunks)

    async def receive():
        chunk = next(left, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    request = Request({"type": "http", "headers": [(b"content-type", kind)]}, receive)
    form = await read_form(request, MAX_FILE_BYTES)
    try:
        upload = read_upload(form.fields, lambda name: CARDS.get(name or "scripted"))
        assert 0 <= upload.temperature <= 1
        assert len(await form.file().read()) <= MAX_FILE_BYTES
    finally:
        await form.close()
