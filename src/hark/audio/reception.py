"""Packets of a live stream, which come late, twice, in another order or never -> samples without a hole.

Theory. The stream's own timestamps say where each packet belongs; what comes out is contiguous, so its length is the
audio clock. Nobody plays it to an ear, so a packet that is next in order goes out at once; only a hole makes those
after it wait, until the missing one comes or HOLD_S of later audio has. Then the hole is filled: by the decoder, which
carries speech on for a moment and may find the last lost frame in the packet that follows, and beyond that by silence.

When nothing comes at all, nothing goes out for QUIET_S: what is merely held up somewhere comes yet, and no silence is
put into its middle. After that silence goes out as time passes, so that a turn ends and the audio clock keeps to the
wall clock, and as much less when the stream goes on.

Rule: no packet that came in time is lost, and none is doubled; time is passed in. Refuses: to believe timestamps that
jump further than time has passed.
"""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import Struct

from hark.audio.formats import decode, encode

HOLD_S: Final = 0.12
QUIET_S: Final = 2.0
# Past this, what a decoder makes up is no speech any more.
CONCEAL_S: Final = 0.06
# A sequence number further off belongs to a stream that began anew.
MAX_STEP: Final = 1_000
# How much further than the time that has passed a timestamp may jump: what was held up before.
SLACK_S: Final = 1.0
_SAMPLE_BYTES: Final = 2


class Decoder(Protocol):
    """What turns packets into pcm16 at `rate`. Lengths are in samples."""

    @property
    def rate(self) -> int: ...

    def decode(self, packet: bytes) -> bytes | None: ...

    def conceal(self, samples: int) -> bytes: ...

    def recover(self, following: bytes, samples: int) -> bytes: ...


class G711:
    """PCMU and PCMA, which have nothing to fill holes with."""

    rate = 8_000

    def __init__(self, *, a_law: bool) -> None:
        self._a_law = a_law

    def decode(self, packet: bytes) -> bytes | None:
        return encode(decode(packet, "g711_alaw" if self._a_law else "g711_ulaw"), "pcm16")

    def conceal(self, samples: int) -> bytes:
        return bytes(samples * _SAMPLE_BYTES)

    def recover(self, following: bytes, samples: int) -> bytes:
        return self.conceal(samples)


class Packet(Struct, frozen=True):
    timestamp: int
    payload: bytes


class Reception:
    """One stream, whose timestamps count `clock_rate` a second, a multiple of the decoder's rate."""

    def __init__(self, decoder: Decoder, clock_rate: int, now: float) -> None:
        self._decoder = decoder
        self._ticks = clock_rate // decoder.rate  # of the timestamp, a sample
        self._waiting: dict[int, Packet] = {}
        self._sequence: int | None = None  # the next one's
        self._timestamp = 0  # the next one's, if nothing is missing
        self._frame = decoder.rate // 50  # samples in the packet before
        self._last = now  # when the last one came
        self._silence = 0  # samples that went out since then, because nothing came
        self._out: list[bytes] = []
        self.lost = 0
        self.late = 0

    def push(self, sequence: int, timestamp: int, payload: bytes, now: float) -> bytes:
        """Take a packet, numbers modulo 2^16 and 2^32; what can go out now, pcm16."""
        if self._sequence is None:
            self._sequence, self._timestamp = sequence, timestamp
        step = _signed(sequence - self._sequence, 16)
        if abs(step) > MAX_STEP:
            self._give_out(self._last)
            missed = max(0, int((now - self._last) * self._decoder.rate) - self._frame)
            self._timestamp = timestamp - missed * self._ticks
            self._sequence, step = sequence, 0
        if step < 0:
            self.late += 1
            return self._drained(now)
        self._waiting.setdefault(self._sequence + step, Packet(timestamp, payload))
        while self._waiting:
            first = min(self._waiting)
            if first != self._sequence and self._held() < HOLD_S:
                break
            self._play(first, now)
        return self._drained(now)

    def idle(self, now: float) -> bytes:
        """What goes out because nothing has come: what still waits, then silence."""
        quiet = now - self._last - QUIET_S
        if self._sequence is None or quiet < 0:
            return b""
        self._give_out(self._last)
        due = max(0, int(quiet * self._decoder.rate) - self._silence)
        self._silence += due
        self._out.append(bytes(due * _SAMPLE_BYTES))
        return self._join()

    def end(self) -> bytes:
        """What still waits: nothing comes any more."""
        self._give_out(self._last)
        return self._join()

    def _give_out(self, now: float) -> None:
        for sequence in sorted(self._waiting):
            self._play(sequence, now)

    def _held(self) -> float:
        """How much audio waits behind the first hole, in seconds."""
        stamps = [packet.timestamp for packet in self._waiting.values()]
        span = max(_signed(stamp - stamps[0], 32) for stamp in stamps) - min(
            _signed(stamp - stamps[0], 32) for stamp in stamps
        )
        return (span / self._ticks + self._frame) / self._decoder.rate

    def _play(self, sequence: int, now: float) -> None:
        assert self._sequence is not None
        packet = self._waiting.pop(sequence)
        lost = sequence - self._sequence
        self.lost += lost
        hole = round(_signed(packet.timestamp - self._timestamp, 32) / self._ticks) - self._silence
        most = (now - self._last + SLACK_S) * self._decoder.rate + lost * self._frame
        self._silence = 0
        if 0 < hole <= most:
            self._fill(hole, packet.payload if lost else None)
        sound = self._decoder.decode(packet.payload) or b""
        samples = len(sound) // _SAMPLE_BYTES
        self._out.append(sound)
        self._frame = samples or self._frame
        self._sequence = sequence + 1
        self._timestamp = packet.timestamp + samples * self._ticks

    def _fill(self, hole: int, following: bytes | None) -> None:
        """`following`: the packet after the hole, if packets were lost there and not just none sent."""
        if following is None:
            self._out.append(bytes(hole * _SAMPLE_BYTES))
            return
        frames, rest = divmod(hole, self._frame)
        made_up = min(max(frames - 1, 0), max(1, int(CONCEAL_S * self._decoder.rate) // self._frame))
        for _ in range(made_up):
            self._out.append(self._decoder.conceal(self._frame))
        silent = rest + max(frames - 1 - made_up, 0) * self._frame
        self._out.append(bytes(silent * _SAMPLE_BYTES))
        if frames:
            self._out.append(self._decoder.recover(following, self._frame))

    def _drained(self, now: float) -> bytes:
        self._last = now
        return self._join()

    def _join(self) -> bytes:
        joined = b"".join(self._out)
        self._out.clear()
        return joined


def _signed(difference: int, bits: int) -> int:
    """The shortest way from one number to another modulo 2^bits."""
    half = 1 << (bits - 1)
    return (difference + half) % (1 << bits) - half
