"""A file as a session, with models that answer when the test says so: bounded, and over when the client is."""

import asyncio
import io
import os
import tracemalloc
from pathlib import Path

import pytest
from starlette.requests import Request
from test_pump import CARD, PATIENCE_S, Models

from hark.audio.files import stream_audio
from hark.auth.keys import Keys
from hark.auth.store import Store
from hark.core.messages import TranscriptCompleted
from hark.core.settings import SessionSettings
from hark.core.work import SAMPLE_RATE, ScoreVoice, WorkFailed
from hark.edge.limits import Limits
from hark.edge.recording import Recording, listen
from hark.edge.transcriptions import Transcriptions
from hark.errors import CallerError, ModelError
from hark.session.backlog import MAX_BACKLOG_S
from serving import speech
from uploading import encoded, wav

TURN = speech("alpha", "bravo", "charlie", rate=SAMPLE_RATE, pause_s=1.4)  # 2.05 s


def run(coroutine):
    async def bounded():
        async with asyncio.timeout(PATIENCE_S):
            return await coroutine

    return asyncio.run(bounded())


async def heard(file, models, most_minutes=60, tell=None):
    events = []

    async def keep(event):
        events.append(event)

    recording = Recording(io.BytesIO(file), most_minutes)
    try:
        await recording.open()
        await listen(recording, SessionSettings(), CARD, models, tell=tell or keep)
    finally:
        await recording.close()
    return [event.transcript for event in events if isinstance(event, TranscriptCompleted)]


def test_the_turns_are_those_of_a_session():
    assert run(heard(wav(), Models())) == ["alpha bravo", "charlie"]


def test_no_more_is_decoded_than_the_models_have_room_for(monkeypatch):
    decoded = 0

    def counting(*arguments):
        nonlocal decoded
        for piece in stream_audio(*arguments):
            decoded += len(piece)
            yield piece

    monkeypatch.setattr("hark.edge.recording.stream_audio", counting)
    models = Models()
    models.held = True

    async def scenario():
        going = asyncio.create_task(heard(wav(TURN * 150), models))
        before = -1
        while before != decoded:
            before = decoded
            for _ in range(2_000):
                await asyncio.sleep(0)
        held = decoded
        models.release()
        return held / SAMPLE_RATE, await going

    held_s, said = run(scenario())
    assert held_s <= MAX_BACKLOG_S + 5
    assert said == ["alpha bravo charlie"] * 150


def test_half_an_hour_takes_no_more_memory_than_a_few_minutes():
    def most(turns):
        file = encoded(TURN * turns, "flac", "flac", SAMPLE_RATE)
        tracemalloc.start()
        try:
            assert len(run(heard(file, Models()))) == turns
            return tracemalloc.get_traced_memory()[1] - len(file)
        finally:
            tracemalloc.stop()

    assert most(880) < most(120) + 4 * 1024 * 1024  # 30 minutes of float32 are 115 MB


def test_a_recording_that_is_longer_than_it_says_is_refused_on_the_way():
    with pytest.raises(CallerError, match="at most 1 minutes"):
        run(heard(encoded(TURN * 40, "adts", "aac", SAMPLE_RATE), Models(), most_minutes=1))


def test_what_fails_ends_it():
    class Failing(Models):
        @staticmethod
        def _run(work):
            failed = WorkFailed(work.id, ModelError("It broke."))
            return Models._run(work) if isinstance(work, ScoreVoice) else failed

    request = upload_request(wav(), lambda: False)
    answer = run(endpoints(Failing()).transcribe(request))
    assert (answer.status_code, b"It broke." in answer.body) == (503, True)


@pytest.mark.parametrize("stream", ["true", "false"])
def test_the_work_stops_when_the_client_goes(stream):
    models = Models()
    models.held = True
    request = upload_request(wav(TURN * 30), lambda: models.waiting, stream=stream)
    sent = []

    async def send(message):
        sent.append(message)

    async def scenario():
        response = await endpoints(models).transcribe(request)
        await response(request.scope, request.receive, send)

    run(scenario())
    assert (models.submitted, models.waiting) == (1, [])
    assert not any(message.get("body") for message in sent)


def test_a_stream_that_fails_says_so_in_its_last_frame():
    class Failing(Models):
        @staticmethod
        def _run(work):
            long = not isinstance(work, ScoreVoice)
            return WorkFailed(work.id, ModelError("It broke.")) if long else Models._run(work)

    request, sent = upload_request(wav(), lambda: False, stream="true"), []

    async def send(message):
        sent.append(message)

    async def scenario():
        response = await endpoints(Failing()).transcribe(request)
        await response(request.scope, request.receive, send)

    run(scenario())
    text = b"".join(message.get("body", b"") for message in sent).decode()
    assert text.startswith('data: {"error":{"message":"It broke."')
    assert text.endswith("data: [DONE]\n\n")


def endpoints(models):
    folder = Path(os.environ["XDG_DATA_HOME"])
    limits = Limits(Store(folder))
    return Transcriptions(Keys(None, folder), lambda name: CARD, models, 10**8, max_minutes=60, limits=limits)


def upload_request(file, vanishes, stream="false"):
    """A request whose client stays until `vanishes`."""
    head = '--b\r\nContent-Disposition: form-data; name="stream"\r\n\r\n' + stream
    head += '\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    body = [head.encode() + file + b"\r\n--b--\r\n"]

    async def receive():
        if body:
            return {"type": "http.request", "body": body.pop(), "more_body": False}
        while not vanishes():
            await asyncio.sleep(0.001)
        return {"type": "http.disconnect"}

    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}
    return Request(scope, receive)
