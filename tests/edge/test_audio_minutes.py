"""A key's audio minutes and sessions over the wire: what a client meets past them, on both transports."""

import io
import sqlite3
import time

import httpx
import openai
import pytest
from openai.types.websocket_reconnection import is_recoverable_close

from hark.audio.files import probe
from hark.auth.keys import create_key
from hark.auth.store import FILE, Store
from hark.core.work import SAMPLE_RATE
from serving import COMPLETED, Server, speech
from uploading import SAID, encoded, pcm, post, wav

SILENCE_59_S = bytes(2 * 24_000 * 59)


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture
def server(serve, folder):
    return serve(data_dir=folder)


@pytest.fixture
def key(folder):
    return create_key(folder, "phone", time.time(), audio_minutes_per_hour=1)


def bearer(credential):
    return {"Authorization": f"Bearer {credential}"}


def opened(server, credential):
    return server.socket(additional_headers=bearer(credential))


def used_s(folder):
    store, now = Store(folder), time.time()
    return sum(sum(store.audio(now, [key.id])[key.id].values()) for key in store.all()) / SAMPLE_RATE


def use_up(server, credential):
    """A minute of a session, and what it is told: the turn that is open is finished."""
    with opened(server, credential) as wire:
        wire.receive()
        wire.append(SILENCE_59_S)
        wire.append(speech("alpha", "bravo", "charlie", "delta", pause_s=0))
        wire.until("input_audio_buffer.speech_started")
        wire.append(speech("echo", pause_s=4))
        return wire.ending()


def check_told(error, limit="1 minutes an hour"):
    assert (error["type"], error["code"], error["param"]) == ("rate_limit_error", "rate_limit_exceeded", None)
    assert error["message"].startswith(f"Rate limit reached for audio: this API key may send {limit}, and has sent 1.")
    assert "Please try again in " in error["message"]
    assert error["message"].endswith(" UTC.")


def test_a_session_that_runs_over_is_told_after_its_last_words(server, folder, key):
    events, code, reason = use_up(server, key)
    assert [event["transcript"].split()[:4] for event in events if event["type"] == COMPLETED] == [
        ["alpha", "bravo", "charlie", "delta"]
    ]
    assert events[-1]["type"] == "error"
    check_told(events[-1]["error"])
    assert (code, reason) == (1013, "rate_limit_error.rate_limit_exceeded")
    assert is_recoverable_close(code), "OpenAI's SDK comes back"
    with opened(server, key) as wire:
        (event,), code, _ = wire.ending()
    check_told(event["error"])
    assert code == 1013


def test_an_upload_is_told_when_to_come_back(server, folder, key):
    use_up(server, key)
    answer = post(server, headers=bearer(key))
    assert answer.status_code == 429
    check_told(answer.json()["error"])
    wait_s = int(answer.headers["retry-after"])
    assert 3_480 < wait_s <= 3_600
    assert f"try again in {wait_s}s" in answer.json()["error"]["message"]
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)
    with client, pytest.raises(openai.RateLimitError) as caught:
        client.audio.transcriptions.create(file=("a.wav", wav()), model="whisper-1")
    assert caught.value.code == "rate_limit_exceeded"
    # An hour later, as far as the store can tell.
    with sqlite3.connect(folder / FILE) as database:
        database.execute("UPDATE audio SET minute = minute - 60")
    database.close()
    assert post(server, headers=bearer(key)).json()["text"] == SAID


def test_secrets_and_uploads_count_for_the_key(server, folder, key):
    secret = httpx.post(f"{server.url}/v1/realtime/client_secrets", headers=bearer(key), json={}).json()["value"]
    assert post(server, headers=bearer(key)).json()["text"] == SAID
    post(server, ("stream", "true"), headers=bearer(secret)).read()
    with opened(server, secret) as wire:
        wire.receive()
        wire.append(bytes(48_000))
        wire.send("session.close")
        wire.ending()
    server_used = used_s(folder)
    deadline = time.monotonic() + 20
    while server_used < 4.55 and time.monotonic() < deadline:
        server_used = used_s(folder)
    assert server_used == pytest.approx(1.8 + 1.8 + 1, abs=0.05)


def test_a_file_that_never_fits_is_not_told_to_come_back(server, folder, key):
    answer = post(server, headers=bearer(key), file=encoded(SILENCE_59_S + bytes(10 * 48_000), "flac", "flac", 24_000))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "audio_too_long")
    assert used_s(folder) == 0


def test_a_file_that_is_longer_than_it_says_ends_where_the_minutes_do(server, key):
    turn = speech("alpha", "bravo", "charlie", rate=SAMPLE_RATE, pause_s=1.4)
    long = encoded(turn * 32, "adts", "aac", SAMPLE_RATE)  # 65.6 s; FFmpeg guesses less
    assert probe(io.BytesIO(long)) < 60
    answer = post(server, headers=bearer(key), file=long)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 3_480
    assert post(server, headers=bearer(key)).status_code == 429


def test_the_count_outlasts_the_server(folder, key):
    for attempt in range(2):
        server = Server(data_dir=folder)
        try:
            if attempt == 0:
                use_up(server, key)
            else:
                assert post(server, headers=bearer(key)).status_code == 429
        finally:
            server.stop()
    assert 60 < used_s(folder) < 70


def test_two_servers_share_the_hour(server, folder, key):
    other = Server(data_dir=folder)
    try:
        use_up(other, key)
    finally:
        other.stop()
    assert post(server, headers=bearer(key)).status_code == 429


# ---- sessions at once


def test_an_upload_is_a_session_at_once(server, folder):
    key = create_key(folder, "one", time.time(), max_sessions=1)
    for _ in range(2):  # each ends its own
        assert post(server, headers=bearer(key)).status_code == 200
        assert post(server, ("stream", "true"), headers=bearer(key)).status_code == 200
    with opened(server, key) as wire:
        wire.receive()
        answer = post(server, headers=bearer(key), file=wav(pcm() * 20))
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
        assert answer.json()["error"]["code"] == "rate_limit_exceeded"
        assert answer.json()["usage"] == {"type": "duration", "seconds": 0}
        assert post(server, headers=bearer(key), file=False).status_code == 429, "before the form is looked at"
        wire.send("session.close")
        wire.ending()
    assert post(server, headers=bearer(key), file=False).status_code == 400
    assert post(server, headers=bearer(key)).status_code == 200
