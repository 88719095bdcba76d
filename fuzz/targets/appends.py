"""Audio off the wire: audio/formats.py and audio/intake.py, in any format, cut anywhere, with a format that changes.

G.711 is held against the Recommendation computed the slow way, chunks against the whole, and counts against arithmetic.
"""

import numpy as np

from hark.audio.formats import SAMPLE_BYTES, decode, encode
from hark.audio.intake import RATE, Intake
from hark.errors import CallerError

ENCODINGS = ["pcm16", "g711_ulaw", "g711_alaw"]
MAX_BYTES = 3_000
TOKENS = [b"RIFF", b"WAVE", b"fmt ", b"data", b"LIST", b"\x10\0\0\0", b"\xff\xff\xff\xff", b"\x01\0\x01\0", b"\x07\0"]


def ulaw(code):
    """One code of table 2a: 16-bit sample."""
    code ^= 0xFF
    magnitude = (((code & 15) * 2 + 33) << (code >> 4 & 7)) - 33
    return (-magnitude if code & 0x80 else magnitude) * 4


def alaw(code):
    """One code of table 1a."""
    code ^= 0x55
    segment, step = code >> 4 & 7, code & 15
    magnitude = step * 2 + 1 if segment == 0 else (step * 2 + 33) << (segment - 1)
    return (magnitude if code & 0x80 else -magnitude) * 8


SLOW = {"g711_ulaw": ulaw, "g711_alaw": alaw}


def seeds():
    sound = bytes(range(256)) * 3
    riff = b"RIFF\x24\x01\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80>\0\0\0}\0\0\x02\0\x10\0data\0\x01\0\0"
    for place, encoding in enumerate(ENCODINGS):
        for rate in (8_000, 24_000, 48_000, 11_025):
            yield f"{encoding}-{rate}", bytes([place]) + rate.to_bytes(2, "big") + bytes([37]) + sound
        yield f"{encoding}-wav", bytes([place, 62, 128, 9]) + riff + sound
        yield f"{encoding}-wav-late-data", bytes([place, 62, 128, 1]) + riff.replace(b"data", b"LIST") + riff[12:]
    yield "rate-0", bytes(4) + sound


def check(data):
    if len(data) < 4:
        return
    encoding, rate, size, audio = ENCODINGS[data[0] % 3], int.from_bytes(data[1:3], "big"), data[3] or 1, data[4:]
    try:
        whole, cut = Intake(encoding, rate), Intake(encoding, rate)
    except CallerError:
        assert not 8_000 <= rate <= 48_000, rate
        return
    assert 8_000 <= rate <= 48_000, rate
    expected = _drained(whole, [audio])
    got = _drained(cut, [audio[at : at + size] for at in range(0, len(audio), size)])
    assert expected.dtype == got.dtype == np.float32
    assert np.isfinite(expected).all()
    assert (whole.position, whole.wire_samples) == (cut.position, cut.wire_samples), "counts depend on the chunks"
    assert len(got) == len(expected) == whole.position == whole.wire_samples * RATE // rate
    assert np.abs(got - expected).max(initial=0) < 1e-5, "samples depend on the chunks"
    _codes(audio, encoding)
    _switched(audio, encoding, rate, data[0])


def _drained(intake, chunks):
    return np.concatenate([np.zeros(0, np.float32), *(intake.push(chunk) for chunk in chunks), intake.tail()])


def _codes(audio, encoding):
    whole = audio[: len(audio) - len(audio) % SAMPLE_BYTES[encoding]]
    samples = decode(whole, encoding)
    if encoding in SLOW:
        assert [round(float(sample) * 32_768) for sample in samples] == [SLOW[encoding](code) for code in whole]
    assert encode(samples, encoding) == whole, "a code comes back as another"


def _switched(audio, encoding, rate, luck):
    """In the middle, to the format of another; all that comes out is as much as `position` says."""
    intake, half = Intake(encoding, rate), len(audio) // 2
    heard = len(intake.push(audio[:half]))
    before = intake.position
    other, other_rate = ENCODINGS[luck // 3 % 3], 8_000 + luck * 150
    heard += len(intake.switch(other, other_rate))
    heard += len(intake.push(audio[half:])) + len(intake.tail())
    assert intake.position >= before
    assert heard == intake.position
