"""What a session held is freed when it ends: minutes of audio may not wait for the garbage collector, which comes to
old objects seldom, and the less often the more sessions there are."""

import gc
import time

import pytest

from hark.session.session import Session
from serving import COMPLETED, PATIENCE_S, speech


@pytest.fixture
def sessions():
    """Gives the sessions that have come since; what other tests have left is theirs."""
    gc.collect()
    before = every_session()
    gc.disable()
    yield lambda: [each for each in every_session() if not any(each is other for other in before)]
    gc.enable()


def every_session():
    return [each for each in gc.get_objects() if isinstance(each, Session)]


def gone(sessions):
    patient_until = time.monotonic() + PATIENCE_S
    while sessions() and time.monotonic() < patient_until:
        time.sleep(0.01)
    return not sessions()


def says_goodbye(wire):
    wire.send("session.close")
    wire.ending()


def hangs_up(wire):
    wire.socket.close()


def vanishes(wire):
    wire.socket.socket.close()


def vanishes_in_a_turn(wire):
    wire.append(speech("alpha", "bravo", pause_s=0))
    wire.until("input_audio_buffer.speech_started")
    wire.socket.socket.close()


@pytest.mark.parametrize("leave", [says_goodbye, hangs_up, vanishes, vanishes_in_a_turn])
def test_nothing_of_a_session_outlives_it(serve, sessions, leave):
    with serve(resume_seconds=0.2).session() as wire:
        wire.append(speech("alpha", pause_s=1))
        wire.until(COMPLETED)
        assert len(sessions()) == 1
        leave(wire)
    assert gone(sessions)
