"""Words while somebody speaks, and what becomes of a turn that its speaker leaves unfinished."""

from pathlib import Path

import httpx
import pytest

from hark.audio.formats import encode
from listening import (
    BECKETT,
    COMMITTED,
    COMPLETED,
    DELTA,
    STOPPED,
    check,
    check_times,
    configure,
    error_rate,
    hear,
    next_event,
    pieces,
    send,
    server_vad,
    words,
)

CHUNK_MS = 250
FASTER = 2
# The first sentence of the sample goes on for more than seven seconds.
SPOKEN_MS = 7_000


def speak_until_words_come(wire, audio):
    """Send audio, at most twice as fast as one speaks, until a delta comes; the events, and the audio that is left."""
    events = []
    for number, piece in enumerate(pieces(audio[: SPOKEN_MS * 16], [CHUNK_MS * 16]), 1):
        wire.append(encode(piece, "pcm16"))
        while event := next_event(wire, CHUNK_MS / 1000 / FASTER):
            events.append(event)
            if event["type"] == DELTA:
                return events, audio[number * CHUNK_MS * 16 :]
    raise AssertionError(f"no word in {SPOKEN_MS} ms of speech, only {[event['type'] for event in events]}")


def test_words_come_before_the_turn_ends(server, recording, dialect):
    with server.session(dialect) as wire:
        configure(wire, dialect, detection=server_vad(500))
        events, rest = speak_until_words_come(wire, recording("two_cities")[: 15 * 16_000])
        events += hear(wire, rest)
    first = check(events, dialect)[0]
    assert first.kinds.index(DELTA) < first.kinds.index(STOPPED)
    assert words(first.text)[:6] == words("it was the best of times")


def test_words_come_before_the_commit(server, recording, dialect):
    with server.session(dialect) as wire:
        configure(wire, dialect, detection=None)
        events, rest = speak_until_words_come(wire, recording("two_cities")[: 9 * 16_000])
        send(wire, rest)
        wire.send("input_audio_buffer.commit")
        events += wire.until(COMPLETED)
    (turn,) = check(events, dialect, detected=False)
    assert turn.kinds.index(DELTA) < turn.kinds.index(COMMITTED)
    assert words(turn.text)[:6] == words("it was the best of times")
    assert turn.times == (0, 9_000)


def test_a_turn_ends_though_its_speaker_fell_silent_in_mid_sentence(server, recording, dialect):
    """Real clients stop sending when their user stops the microphone, and then no silence comes (contract H.18)."""
    audio = recording("two_cities")[: round(8.5 * 16_000)]
    with server.session(dialect) as wire:
        configure(wire, dialect, detection=server_vad(500))
        send(wire, audio[: 4 * 16_000])
        (turn,) = check(wire.until(COMPLETED), dialect)
        check_times([turn], 4_000)
        assert words(turn.text)[:6] == words("it was the best of times")
        (rest,) = check(hear(wire, audio[4 * 16_000 :]), dialect, after=turn)
    assert rest.times[0] >= turn.times[1]
    assert words(rest.text)[-4:] == words("the age of foolishness")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into the server process through /proc")
@pytest.mark.parametrize("detection", [server_vad(200), None])
def test_a_client_that_vanishes_leaves_nothing_running(server, recording, detection):
    sockets = server.sockets
    with server.session() as wire:
        configure(wire, "ga", detection=detection)
        send(wire, recording("two_cities"), sizes=(64_000,))
        wire.until(DELTA)
        wire.socket.close()
    with server.session() as wire:
        configure(wire, "ga", detection=server_vad(500))
        assert error_rate(BECKETT, check(hear(wire, recording("beckett")), "ga")) <= 0.25
        used = server.cpu_s
        assert next_event(wire, 0.5) is None
        assert server.cpu_s - used < 0.25
    with httpx.Client(base_url=server.url) as client:
        for _ in range(1_000):
            assert client.get("/health").status_code == 200
            if server.sockets <= sockets + 1:  # its own is one
                return
    raise AssertionError("connections of clients that have gone are still open")
