"""A guide that sets model names in `.env` and then mints a realtime session, connects without a model, and uploads
files to /transcribe (contract G.3, S2)."""

import httpx
import pytest

from listening import BECKETT, Process, error_rate, turns_of
from serving import COMPLETED, PATIENCE_S

ENV = """\
OPENAI_REALTIME_SESSION_MODEL=gpt-4o-realtime-preview-2024-12-17
TRANSCRIPTION_MODEL=whisper-1
"""


@pytest.fixture(scope="module")
def started(samples, tmp_path_factory):
    """`hark serve` in a folder with that `.env`."""
    folder = tmp_path_factory.mktemp("backend")
    (folder / ".env").write_text(ENV)
    process = Process(folder, HARK_DATA_DIR=str(tmp_path_factory.mktemp("data")))
    yield process
    process.stop()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "gpt-4o-realtime-preview-2024-12-17", "input_audio_transcription": {"language": "en"}},
    ],
    ids=["nothing named", "as written"],
)
def test_the_names_are_the_defaults_and_the_session_hears_speech(started, beckett, body):
    session = httpx.post(f"{started.url}/v1/realtime/sessions", json=body).json()
    assert session["model"] == "gpt-4o-realtime-preview-2024-12-17"
    if body:
        assert session["input_audio_transcription"]["model"] == "whisper-1"
    bearer = {"Authorization": f"Bearer {session['client_secret']['value']}"}
    with started.socket("/v1/realtime", additional_headers=bearer) as wire:
        created = wire.receive()
        assert (created["type"], created["session"]["model"]) == ("session.created", session["model"])
        for piece in beckett:
            wire.append(piece)
        events = [event for _ in range(6) for event in wire.until(COMPLETED)]
        assert error_rate(BECKETT, turns_of(events)) <= 0.25


def test_the_plain_upload(started, samples):
    with (samples / "beckett.wav").open("rb") as file:
        told = httpx.post(f"{started.url}/transcribe", files={"file": file}, timeout=PATIENCE_S).json()
    assert error_rate(BECKETT, turns_of([{"item_id": "item", "transcript": told["text"]}])) <= 0.25


def test_the_error_that_the_guide_quotes_is_recognised(started):
    with started.socket("/v1/realtime?model=gpt-4o-mini-nope") as wire:
        (event,), code, _ = wire.ending()
        assert code == 4000
        assert event["error"]["message"].startswith('Model "gpt-4o-mini-nope" is not supported in realtime mode')
