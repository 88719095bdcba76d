"""--event-log: what travelled, on both transports, without keys and without audio."""

import asyncio
import json

import httpx
import pytest

from calling import Caller
from serving import BETA, COMPLETED, PATIENCE_S, Server, base64, speech

KEY = "sk-event-log-0123456789"


@pytest.fixture
def logged(tmp_path):
    """A server, and what its logs hold once it has stopped: a list of entries for each connection."""
    folder = tmp_path / "not" / "there" / "yet"
    server = Server(api_key=KEY, event_log=str(folder))

    def entries():
        server.stop()
        return [[json.loads(line) for line in path.read_text().splitlines()] for path in sorted(folder.glob("*.jsonl"))]

    yield server, entries
    server.stop()


def events(log, direction):
    return [entry["event"] for entry in log if entry["direction"] == direction and "event" in entry]


def test_a_session_from_handshake_to_close(logged):
    server, entries = logged
    options = {"subprotocols": ["realtime", f"openai-insecure-api-key.{KEY}"], "additional_headers": BETA}
    with server.socket(f"/v1/realtime?intent=transcription&api-key={KEY}", **options) as wire:
        told = [wire.receive()]
        wire.append(speech("alpha"))
        told += wire.until(COMPLETED)
        wire.socket.send("no json")
        wire.socket.send(b"12345")
        told += [wire.receive(), wire.receive()]
        wire.socket.close(1000, "done")
    (log,) = entries()
    assert log[0]["connect"]["transport"] == "websocket"
    assert log[0]["connect"]["url"] == "/v1/realtime?intent=transcription&api-key=sk***89"
    assert log[0]["connect"]["headers"]["openai-beta"] == "realtime=v1"
    assert log[0]["connect"]["subprotocols"] == ["realtime", "openai-insecure-api-key.sk***89"]
    assert log[1] == log[1] | {"direction": "received", "accept": {"subprotocol": "realtime"}}
    assert events(log, "received") == told
    (append,) = events(log, "sent")
    assert append["type"] == "input_audio_buffer.append"
    assert append["audio"].endswith(" characters of base64")
    assert [entry["text"] for entry in log if "text" in entry] == ["no json"]
    assert [entry["binary"] for entry in log if "binary" in entry] == [5]
    assert log[-1] == log[-1] | {"direction": "sent", "close": {"code": 1000, "reason": "done"}}
    assert [entry["at"] for entry in log] == sorted(entry["at"] for entry in log)
    assert KEY not in json.dumps(log)


def test_clients_that_go_while_they_are_told_something(logged):
    server, entries = logged
    for _ in range(50):  # of the moment between hearing a client go and telling it something, some meet it
        with server.socket(additional_headers={"Authorization": f"Bearer {KEY}"}) as wire:
            wire.receive()
            wire.send("session.update", session={})
            wire.socket.close(1000, "done")
    for log in entries():
        assert log[-1] == log[-1] | {"direction": "sent", "close": {"code": 1000, "reason": "done"}}


def test_a_refused_connection(logged):
    server, entries = logged
    with server.socket(additional_headers={"Authorization": "Bearer sk-wrong-0123456789"}) as wire:
        (told,), code, reason = wire.ending()
    (log,) = entries()
    assert log[0]["connect"]["headers"]["authorization"] == "Bearer sk***89"
    assert events(log, "received") == [told]
    assert log[-1] == log[-1] | {"direction": "received", "close": {"code": code, "reason": reason}}


def test_a_call(logged):
    server, entries = logged

    async def scenario():
        async with Caller(server.url, audio=False) as caller:
            await caller.call(headers={"Authorization": f"Bearer {KEY}", "content-type": "application/sdp"})
            told = [await caller.receive()]
            return [*told, await caller.ask("session.update", session={})]

    told = asyncio.run(scenario())
    (log,) = entries()
    assert log[0]["connect"]["transport"] == "webrtc"
    assert log[0]["connect"]["headers"]["content-type"] == "application/sdp"
    assert events(log, "received") == told
    assert events(log, "sent") == [{"type": "session.update", "session": {}}]
    assert log[-1]["close"]["reason"].startswith("the other side closed")


def test_a_call_that_is_hung_up(logged):
    server, entries = logged

    async def scenario():
        async with Caller(server.url, audio=False) as caller:
            await caller.call(headers={"Authorization": f"Bearer {KEY}", "content-type": "application/sdp"})
            await caller.receive()
            async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as client:
                assert (await client.post(f"{server.url}{caller.location}/hangup")).status_code == 200
            async with asyncio.timeout(PATIENCE_S):
                while caller.channel.readyState != "closed":
                    await asyncio.sleep(0.01)

    asyncio.run(scenario())
    (log,) = entries()
    assert log[-1] == log[-1] | {"direction": "received", "close": {"code": 1000, "reason": "it was hung up"}}


def test_a_disk_that_takes_no_more_disturbs_nobody(logged, tmp_path, caplog):
    server, entries = logged
    (tmp_path / "not" / "there" / "yet").rmdir()
    with server.socket(additional_headers={"Authorization": f"Bearer {KEY}"}) as wire:
        assert wire.receive()["type"] == "session.created"
        assert wire.hear("alpha") == "alpha"
    assert entries() == []
    assert "an event log cannot be written: No such file or directory" in caplog.text


def test_nothing_is_kept_unless_it_is_asked_for(serve, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with serve().session() as wire:
        wire.hear("alpha")
    assert httpx.get(f"{serve().url}/health").status_code == 200
    assert list(tmp_path.iterdir()) == []


def test_audio_is_left_out_wherever_it_stands_and_nothing_is_too_deep(logged):
    server, entries = logged
    said = base64(speech("alpha"))
    item = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": said}]}
    with server.socket(additional_headers={"api-key": KEY}) as wire:
        wire.receive()
        wire.append(speech("bravo"))
        item_id = wire.until(COMPLETED)[-1]["item_id"]
        wire.ask("conversation.item.create", item=item)
        wire.send("conversation.item.retrieve", item_id=item_id)
        assert len(wire.until("conversation.item.retrieved")[-1]["item"]["content"][0]["audio"]) > 1_000
        wire.socket.send('{"type": "x", "deep": ' + "[" * 600 + "]" * 600 + "}")
        assert wire.until("error")[-1]["type"] == "error"
        assert wire.ask("input_audio_buffer.clear")["type"] == "input_audio_buffer.cleared"
    (log,) = entries()
    text = json.dumps(log)
    assert said[1_000:1_040] not in text
    assert base64(speech("bravo"))[1_000:1_040] not in text
    assert text.count(" characters of base64") == 3
