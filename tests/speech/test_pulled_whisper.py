"""The whole path of a model from a hub: pulled, loaded and heard, each by the command that users have.

The hub is one on this machine, and the model a Whisper that the test makes: it hears "loud noise." in noise.
"""

import subprocess
import time

import numpy as np
import pytest
import tiny_whisper

from hark.audio.formats import encode
from hark.models.files.hub_table import HUB_FILES
from hub import standing
from listening import DELTA, HARK, Process, check, configure, environment, send, server_vad, silence
from serving import COMPLETED, PATIENCE_S
from uploading import post, wav

NAME = "whisper-tiny"


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    """The environment of a user whose hub has a Whisper."""
    folder = tmp_path_factory.mktemp("whisper")
    made = tiny_whisper.make(folder / "made")
    with standing() as hub:
        hub.repos[HUB_FILES[NAME].repo] = {path.name: path.read_bytes() for path in made.iterdir()}
        yield {
            "HARK_MODELS_DIR": str(folder / "models"),
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(folder / "hf"),
            "CUDA_VISIBLE_DEVICES": "",
        }


@pytest.fixture(scope="module")
def server(variables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    pulled = subprocess.run(
        [HARK, "pull", NAME],
        cwd=folder,
        env=environment(folder) | variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert pulled.returncode == 0, pulled.stderr
    process = Process(folder, "--model", NAME, "--voice-model", "scripted-vad", "--turn-model", "none", **variables)
    yield process
    process.stop()


def noise(seconds):
    return (np.random.default_rng(1).standard_normal(int(seconds * 16_000)) * 0.2).astype(np.float32)


def test_a_whisper_that_was_pulled_transcribes_a_session(server):
    with server.session() as wire:
        configure(
            wire,
            "ga",
            detection=server_vad(300),
            transcription={"model": NAME, "prompt": "A prompt.", "keywords": ["kiosk"]},
            include=["item.input_audio_transcription.logprobs"],
        )
        events, until = [], time.monotonic() + PATIENCE_S
        while not any(event["type"] == DELTA for event in events):  # while the talker goes on
            assert time.monotonic() < until
            send(wire, noise(0.4))
            wire.send("session.update", session={})
            events += wire.until("session.updated")
        send(wire, np.concatenate([noise(0.4), silence(1)]))
        events += wire.until(COMPLETED)
    [turn] = check(events, "ga")
    completed = turn.events[-1]
    assert turn.text == "loud noise."
    assert len(turn.deltas) > 1
    assert [token["token"] for token in completed["logprobs"]] == ["loud", " noise", "."]
    assert all(-0.5 < token["logprob"] <= 0 for token in completed["logprobs"])
    assert [word["word"] for word in completed["words"]] == ["loud", "noise."]
    times = [(word["start_ms"], word["end_ms"]) for word in completed["words"]]
    assert all(turn.times[0] <= start < end <= turn.times[1] for start, end in times)


def test_it_transcribes_a_file(server):
    audio = np.concatenate([noise(1), silence(0.5)])
    fields = [("model", NAME), ("response_format", "verbose_json"), ("timestamp_granularities[]", "word")]
    answer = post(server, *fields, file=wav(encode(audio, "pcm16"))).json()
    assert (answer["text"], answer["language"]) == ("loud noise.", "german")
    assert [word["word"] for word in answer["words"]] == ["loud", "noise."]
