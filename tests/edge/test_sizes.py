"""The sizes of what a client may send, each tried below and above, and what is kept for a client that is slow."""

import asyncio

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from calling import Caller
from hark.core.messages import AudioCleared
from hark.edge import call, sideband
from hark.edge.eventlog import EventLog
from hark.edge.forms import MAX_FIELD_BYTES, MAX_FIELDS, MAX_REST_BYTES
from hark.edge.server import MAX_FRAME_BYTES
from hark.protocol.uploads import MAX_SPEAKERS
from hark.protocol.wire import MAX_ITEM_BYTES, MAX_UPDATE_CHARACTERS
from serving import PATIENCE_S
from uploading import SAID, post

MEBIBYTE = 1 << 20
DIARIZE = [
    ("model", "gpt-4o-transcribe-diarize"),
    ("response_format", "diarized_json"),
    ("chunking_strategy", "auto"),
]


def test_a_frame_may_not_be_larger_than_a_frame(server):
    with server.session() as wire:
        wire.socket.send(" " * MAX_FRAME_BYTES)
        assert wire.receive()["error"]["code"] == "invalid_json"
        with pytest.raises(ConnectionClosed) as caught:
            wire.socket.socket.sendall(b"\x81\xff" + (MAX_FRAME_BYTES + 1).to_bytes(8, "big") + bytes(4))
            wire.socket.recv(PATIENCE_S)
        assert caught.value.rcvd.code == 1009


def test_an_update_and_an_item_have_their_sizes(server):
    def updated(size):
        prompt = {"audio": {"input": {"transcription": {"prompt": "x" * size}}}}
        return wire.ask("session.update", session={"type": "transcription", **prompt})

    def created(size):
        content = [{"type": "input_text", "text": "x" * size}]
        return wire.ask("conversation.item.create", item={"type": "message", "role": "user", "content": content})

    with server.session() as wire:
        assert updated(MAX_UPDATE_CHARACTERS // 2)["type"] == "session.updated"
        error = updated(MAX_UPDATE_CHARACTERS)["error"]
        assert (error["code"], error["param"]) == ("invalid_value", "session")
        error = created(MAX_ITEM_BYTES)["error"]
        assert (error["code"], error["param"]) == ("invalid_value", "item")
        assert created(MAX_ITEM_BYTES // 2)["type"] == "conversation.item.added"
        assert wire.until("conversation.item.done")
        assert wire.hear("alpha") == "alpha"


def test_a_form_has_its_sizes(serve):
    server = serve(max_file_mb=1)

    def refused(*fields, **options):
        answer = post(server, *fields, **options)
        return answer.status_code, answer.json().get("error", answer.json()).get("message", "")

    assert post(server, *[("unknown", "x")] * (MAX_FIELDS - 1)).json()["text"] == SAID
    assert refused(*[("unknown", "x")] * (MAX_FIELDS + 1))[0] == 400
    rest = serve()
    large = [("unknown", "x" * (MAX_FIELD_BYTES + 1))]
    answer = post(rest, *large)
    assert (answer.status_code, "4096KB" in answer.json()["error"]["message"]) == (400, True)
    assert refused(("unknown", "x" * (MEBIBYTE + MAX_REST_BYTES)))[0] == 413


def test_only_so_many_speakers_are_known(server):
    fields = [("known_speaker_names[]", str(number)) for number in range(MAX_SPEAKERS + 1)]
    fields += [("known_speaker_references[]", "data:audio/wav;base64,AAAA")] * (MAX_SPEAKERS + 1)
    error = post(server, *DIARIZE, *fields).json()["error"]
    assert error["code"] == "invalid_value"
    assert str(MAX_SPEAKERS) in error["message"]


# ---- calls


@pytest.mark.parametrize("name", ["MAX_INBOX", "MAX_INBOX_BYTES"])
def test_a_call_that_sends_more_than_can_be_heard_ends(server, monkeypatch, name):
    async def scenario():
        async with Caller(server.url, audio=False) as caller, asyncio.timeout(PATIENCE_S):
            await caller.call()
            await caller.until("session.created")
            monkeypatch.setattr(call, name, 0)
            caller.send("input_audio_buffer.clear")
            error = (await caller.until("error"))[-1]["error"]
            assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")

    asyncio.run(scenario())
    assert httpx.get(f"{server.url}/health").status_code == 200


def test_who_listens_too_slowly_is_cut_off(monkeypatch):
    monkeypatch.setattr(sideband, "MAX_UNREAD", 2)
    said = []

    async def send(frame):
        said.append(frame)

    async def scenario():
        ear = sideband.SideBand("ga", send=send)
        for _ in range(2):
            await ear.tell(AudioCleared())
        assert not ear.slow
        await ear.tell(AudioCleared())
        assert ear.slow
        await ear.speak()

    asyncio.run(scenario())
    assert said == []


def test_what_is_said_before_a_channel_opens_is_bounded(monkeypatch):
    monkeypatch.setattr(call, "MAX_EARLY", 2)

    class Peer:
        open = True

        def __init__(self):
            self.sent = []

        def send(self, frame):
            self.sent.append(frame)
            return True

    async def scenario():
        ear = call.ChannelEar("ga", EventLog())
        ear.peer = Peer()
        for _ in range(5):
            await ear.tell(AudioCleared())
        ear.opened()
        assert len(ear.peer.sent) == 2

    asyncio.run(scenario())
