"""Client secrets: bodies that order one, what one carries, and its text. The first byte chooses the endpoint.

What is ordered can be packed, carried, unpacked and shown; whatever else is the caller's error.
"""

import json
from contextlib import suppress

from fuzz.targets import frames
from hark.auth.secrets import Secret, sign, verify
from hark.core.messages import SessionView
from hark.core.settings import ModelCard
from hark.errors import CallerError
from hark.protocol import minting
from malformed import BETA, FLAT, GA, TEXTS, nested

KEY, SALT, NOW = b"k" * 32, b"salt", 1_000_000_000
CARDS = {name: ModelCard(name, "scripted") for name in ("scripted", "whisper-1", "gpt-4o-transcribe")}
TOKENS = [*frames.TOKENS, b'"expires_after"', b'"anchor"', b'"created_at"', b'"seconds"', b'"client_secret"', b"ek_"]


def _card(name):
    return CARDS.get(name or "scripted")


def seeds():
    for place, (name, fields) in enumerate({"ga": GA, "beta": BETA, "flat": FLAT}.items()):
        for number, (path, value) in enumerate(fields[::4]):
            yield f"{name}-{number}", bytes([place]) + json.dumps(nested(path, value)).encode()
    for number, text in enumerate(TEXTS):
        if len(text) < 500:
            yield f"text-{number}", b"\x00" + text
    whole = {"session": {"type": "transcription", "audio": frames.GA}, "expires_after": {"anchor": "created_at"}}
    yield "whole", b"\x00" + json.dumps(whole).encode()
    yield "secret", b"\x03" + sign(Secret(NOW + 60, bytes(8), b"{}"), KEY, SALT).encode()


def check(data):
    try:
        if data[:1] == b"\x03":
            verify(data[1:].decode("latin-1"), [KEY], NOW)
        else:
            _order(minting.ENDPOINTS[(data[0] if data else 0) % len(minting.ENDPOINTS)], data[1:])
    except CallerError as error:
        assert len(error.message) > 15
        json.dumps([error.message, error.param]).encode()
    with suppress(CallerError):
        minting.unpack(data[1:])


def _order(endpoint, body):
    order = minting.read_order(endpoint, body)
    choice = minting.settle(order, _card)
    packed = minting.pack(choice)
    text = sign(Secret(NOW + order.seconds, bytes(8), packed), KEY, SALT)
    carried = verify(text, [KEY], NOW).secret.content
    assert minting.unpack(carried) == choice, "a secret carries something else than was ordered"
    shown = minting.answer(choice.dialect, SessionView("sess_1", NOW, choice.settings, "gpt-realtime"), text, NOW)
    json.dumps(shown, allow_nan=False).encode()
