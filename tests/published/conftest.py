"""Two servers with a key, one of which hears real speech, and a recording."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "speech"))

from hark.audio.formats import encode

KEY = "sk-published-0123456789"


@pytest.fixture
def key():
    return KEY


@pytest.fixture
def keyed(serve):
    return serve(api_key=KEY)


@pytest.fixture
def hearing(serve, samples):
    return serve(api_key=KEY, model="moonshine-tiny-en", voice_model="silero-vad")


@pytest.fixture
def beckett(recording):
    """Its wire bytes at the rate that pcm16 has in the beta dialect, in pieces as clients send them."""
    audio = encode(recording("beckett", 24_000), "pcm16") + bytes(48_000)
    return [audio[start : start + 4_800] for start in range(0, len(audio), 4_800)]
