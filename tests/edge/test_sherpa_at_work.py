"""A streaming model of sherpa-onnx from the models folder, behind a real server and a WebSocket."""

import contextlib
import json

import numpy as np
import pytest

import sherpa_standins as standins
from hark.audio.formats import encode
from serving import COMPLETED, Server
from uploading import post, wav

DELTA = "conversation.item.input_audio_transcription.delta"
NAME = "my-streaming-model"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    standins.streaming_transducer(folder / NAME)
    broken = standins.nemo_transducer(folder / "broken") / "encoder.int8.onnx"
    broken.write_bytes(broken.read_bytes().replace(b"vocab_size\x12\x014", b"vocab_size\x12\x01x"))
    running = Server(model=NAME, models_dir=folder)
    yield running
    running.stop()


def heard(wire):
    """What comes within a tenth of a second, up to the first text."""
    events = []
    with contextlib.suppress(TimeoutError):
        while not events or events[-1]["type"] != DELTA:
            events.append(json.loads(wire.socket.recv(0.1)))
    return events


@pytest.mark.here
def test_words_come_while_it_is_loud_and_join_to_the_transcript(server):
    piece = encode(np.repeat(standins.noise(0.3), 3)[::2], "pcm16")  # at 24 kHz
    with server.session() as wire:
        events = []
        for _ in range(80):  # until there is text, as somebody who goes on speaking
            wire.append(piece)
            events += heard(wire)
            if any(event["type"] == DELTA for event in events):
                break
        assert events[-1]["type"] == DELTA
        assert not any(event["type"] == "input_audio_buffer.speech_stopped" for event in events)
        wire.append(piece * 8 + bytes(48_000))
        events += wire.until(COMPLETED)
    completed = events[-1]
    deltas = "".join(event["delta"] for event in events if event["type"] == DELTA)
    assert deltas == completed["transcript"]
    assert completed["transcript"].startswith("hello world again hello world")
    assert [word["word"] for word in completed["words"]] == completed["transcript"].split()
    starts = [word["start_ms"] for word in completed["words"]]
    assert starts == sorted(starts)
    assert starts[-1] > 2_000


@pytest.mark.here
def test_log_probabilities_come_with_it(server):
    file = wav(encode(np.concatenate((standins.noise(2.0), np.zeros(16_000, np.float32))), "pcm16"))
    told = post(server, ("model", "gpt-4o-transcribe"), ("include[]", "logprobs"), file=file).json()
    assert "".join(entry["token"] for entry in told["logprobs"]) == told["text"] != ""
    assert all(entry["logprob"] < 0 for entry in told["logprobs"])


@pytest.mark.here
def test_a_model_whose_files_end_its_process_fails_its_request_alone(server):
    file = wav(encode(standins.noise(2.0), "pcm16"))
    answer = post(server, ("model", "broken"), file=file)
    assert answer.status_code >= 500
    assert post(server, ("model", NAME), file=file).json()["text"].startswith("hello")
