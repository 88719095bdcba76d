"""Streams of packets that a network has treated badly: no hole, no doubled sample, and the clock of the packets."""

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hark.audio.formats import decode, encode
from hark.audio.opus import MAX_FRAME_SAMPLES, Opus
from hark.audio.reception import G711, HOLD_S, QUIET_S, Reception

FRAME = 160  # 20 ms at 8 kHz
TICK_S = 0.02


class Plain:
    """Packets that are samples already, and silence where they are lost."""

    rate = 8_000

    def decode(self, packet):
        return packet

    def conceal(self, samples):
        return bytes(2 * samples)

    def recover(self, following, samples):
        return self.conceal(samples)


def sent(count):
    """Packets as numbers, timestamps and payloads; each sample of packet k is k + 1, so none is silent."""
    return [(number, number * FRAME, np.full(FRAME, number + 1, np.int16).tobytes()) for number in range(count)]


def heard(packets, *, start=65_500, stamp=2**32 - 500):
    """What comes out when they arrive in this order, one every 20 ms, as the number of each frame's packet or None."""
    reception, out = Reception(Plain(), 8_000, 0.0), b""
    for at, (number, timestamp, payload) in enumerate(packets):
        out += reception.push((number + start) % 2**16, (timestamp + stamp) % 2**32, payload, at * TICK_S)
    return frames(out + reception.end()), reception


def frames(out):
    samples = np.frombuffer(out, np.int16)
    assert len(samples) % FRAME == 0
    levels = samples.reshape(-1, FRAME)
    assert (levels == levels[:, :1]).all()
    return [int(level) - 1 if level else None for level in levels[:, 0]]


def test_in_order_each_goes_out_at_once():
    reception = Reception(Plain(), 8_000, 0.0)
    for number, timestamp, payload in sent(50):
        assert len(reception.push(number, timestamp, payload, number * TICK_S)) == 2 * FRAME


@given(st.data())
def test_whatever_the_network_does_the_clock_is_that_of_the_packets(data):
    packets = sent(40)
    lost = data.draw(st.sets(st.integers(1, 38), max_size=8))
    delays = data.draw(st.lists(st.floats(0, 2.4), min_size=40, max_size=40))  # in packets: 48 ms
    arrived = [packets[at] for at in sorted(range(40), key=lambda at: at + delays[at]) if at not in lost]
    if arrived[0][0] != 0:
        return  # what comes before the first that arrived was never part of the stream
    out, reception = heard(arrived)
    assert out == [None if number in lost else number for number in range(40)]
    assert (reception.lost, reception.late) == (len(lost), 0)


def test_one_that_comes_twice_is_heard_once():
    packets = sent(10)
    assert heard([packets[0], *packets, *packets])[0] == list(range(10))


def test_a_missing_one_is_waited_for_and_then_given_up():
    packets, reception = sent(30), Reception(Plain(), 8_000, 0.0)
    reception.push(*packets[0], 0.0)
    waited = 0
    for packet in packets[2:]:
        if reception.push(*packet, packet[0] * TICK_S):
            break
        waited += 1
    assert waited == pytest.approx(HOLD_S / TICK_S, abs=1)
    assert reception.push(*packets[1], 1.0) == b""
    assert reception.late == 1


def test_what_was_not_sent_is_silence():
    """A sender that does not transmit silence: numbers go on, timestamps jump."""
    first, later = sent(3), [(3 + number, (23 + number) * FRAME, payload) for number, _, payload in sent(3)]
    assert heard(first + later)[0] == [0, 1, 2, *[None] * 20, 0, 1, 2]


def stream_with_a_gap(gap_s, lost_s):
    """A second, nothing for a while, and another second; what came out, in seconds, and of the gap itself."""
    reception, out, idle = Reception(Plain(), 8_000, 0.0), 0, 0
    packets = sent(100)
    for number, timestamp, payload in packets[:50]:
        out += len(reception.push(number, timestamp, payload, number * TICK_S))
    for at in np.arange(1.0, 1.0 + gap_s, 0.5):
        idle += len(reception.idle(float(at)))
    missing = round(lost_s / TICK_S)
    for number, timestamp, payload in packets[50:]:
        now = 1.0 + gap_s + (number - 50) * TICK_S
        out += len(reception.push(number + missing, timestamp + missing * FRAME, payload, now))
    return (out + idle + len(reception.end())) / 16_000, idle / 16_000


def test_a_second_that_was_lost_is_silence():
    whole, idle = stream_with_a_gap(1.0, 1.0)
    assert (whole, idle) == (3.0, 0.0)


def test_a_second_that_was_held_up_is_heard_without_silence_in_it():
    assert stream_with_a_gap(1.0, 0.0) == (2.0, 0.0)


def test_a_long_silence_goes_out_as_it_passes():
    whole, idle = stream_with_a_gap(10.0, 10.0)
    assert whole == 12.0
    assert idle == pytest.approx(10.0 - QUIET_S, abs=0.6)


def test_a_stream_that_begins_anew_keeps_to_the_clock():
    reception, out = Reception(Plain(), 8_000, 0.0), b""
    for number, timestamp, payload in sent(10):
        out += reception.push(number, timestamp, payload, number * TICK_S)
    for number, timestamp, payload in sent(10):
        out += reception.push(number + 30_000, timestamp + 10**9, payload, 1.0 + number * TICK_S)
    assert len(frames(out)) == pytest.approx(60, abs=1)


def test_timestamps_that_jump_for_no_reason_are_not_believed():
    packets = sent(20)
    jumped = [(number, timestamp + (10**8 if number >= 10 else 0), payload) for number, timestamp, payload in packets]
    assert heard(jumped)[0] == list(range(20))


# ---- Opus ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packets(recording):
    """Speech, 20 ms a packet, with in-band FEC."""
    coder = av.CodecContext.create("libopus", "w")
    coder.bit_rate, coder.format, coder.layout, coder.sample_rate = 32_000, "s16", "mono", 48_000
    coder.options = {"application": "voip", "fec": "1", "packet_loss": "20"}
    speech = (recording("beckett", 48_000) * 32_767).astype(np.int16)
    made = []
    for at in range(0, len(speech) - 960, 960):
        frame = av.AudioFrame.from_ndarray(speech[None, at : at + 960], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, at
        made += [bytes(packet) for packet in coder.encode(frame)]
    return made


def samples(pcm):
    return np.frombuffer(pcm, np.int16).astype(float)


def loss_heard(packets, way):
    """How far the sound is from that without loss, where each tenth packet is lost and made up in this way."""
    whole, lossy, missed, energy = Opus(), Opus(), 0.0, 0.0
    for number, packet in enumerate(packets[:-1]):
        right = samples(whole.decode(packet))
        if number % 10 != 9:
            lossy.decode(packet)
            continue
        made = lossy.conceal(320) if way == "conceal" else lossy.recover(packets[number + 1], 320)
        assert len(made) == 640
        missed += ((samples(made) - right) ** 2).sum()
        energy += (right**2).sum()
    return missed / energy


def test_a_lost_frame_is_made_up_and_better_from_the_next_packet(packets):
    concealed, recovered = (loss_heard(packets, way) for way in ("conceal", "recover"))
    assert concealed < 1.5  # silence would be 1, noise of the same loudness 2
    assert recovered < concealed / 2


def test_what_is_no_opus(packets):
    decoder = Opus()
    for wrong in (b"", b"\xff", bytes([3]) + b"\xff" * 3):
        pcm = decoder.decode(wrong)
        assert pcm is None or len(pcm) <= 2 * MAX_FRAME_SAMPLES
    assert len(decoder.decode(packets[0])) == 640


def test_opus_with_losses_has_no_hole(packets):
    reception, out = Reception(Opus(), 48_000, 0.0), b""
    packets = packets[:490]
    for number, payload in enumerate(packets):
        if number % 7:
            out += reception.push(number, number * 960, payload, number * TICK_S)
    out += reception.end()
    assert len(out) == (len(packets) - 1) * 640  # the first was lost: nobody can know of it


def test_g711_is_what_it_is_elsewhere():
    audio = np.sin(np.arange(160) / 5).astype(np.float32) / 2
    for a_law, encoding in ((True, "g711_alaw"), (False, "g711_ulaw")):
        heard = G711(a_law=a_law).decode(encode(audio, encoding))
        assert decode(heard, "pcm16") == pytest.approx(audio, abs=0.02)
        assert G711(a_law=a_law).recover(b"", 160) == bytes(320)
