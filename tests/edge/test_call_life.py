"""A call from its first word to its end: media, messages, listeners beside it, and every way of going."""

import asyncio
import json

import httpx
import numpy as np
import pytest
from aiortc.rtcrtpparameters import RTCRtpCodecCapability
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from calling import RATE, Caller
from relay import Relay
from serving import BETA, COMPLETED, base64, speech

STARTED = "input_audio_buffer.speech_started"
STOPPED = "input_audio_buffer.speech_stopped"
COMMITTED = "input_audio_buffer.committed"


def tone(seconds, level=0.3):
    return (level * np.sin(np.arange(round(seconds * RATE)) * 2 * np.pi * 300 / RATE)).astype(np.float32)


def words(*said, pause_s=0.6):
    """The scripted model's words as samples: G.711 carries them, Opus does not."""
    return np.frombuffer(speech(*said, rate=RATE, pause_s=pause_s), np.int16).astype(np.float32) / 32768


def pcmu(caller):
    """Let the caller offer PCMU alone."""
    capability = RTCRtpCodecCapability(mimeType="audio/PCMU", clockRate=8000, channels=1)
    caller.connection.getTransceivers()[0].setCodecPreferences([capability])


def run(scenario, server, **options):
    async def whole():
        async with Caller(server.url, **options) as caller:
            async with asyncio.timeout(60):
                await scenario(caller)

    asyncio.run(whole())


def test_turns_by_voice(server):
    async def scenario(caller):
        caller.voice.say(np.concatenate([np.zeros(RATE // 2, np.float32), tone(0.6)] * 2))
        await caller.call()
        events = await caller.until(COMPLETED) + await caller.until(COMPLETED)
        kinds = [event["type"] for event in events]
        assert kinds.count(STARTED) == kinds.count(STOPPED) == kinds.count(COMMITTED) == 2
        starts = [event["audio_start_ms"] for event in events if event["type"] == STARTED]
        assert starts[1] - starts[0] == pytest.approx(1_100, abs=64)  # the audio clock is that of the packets

    run(scenario, server)


def test_words_come_through_g711(server):
    async def scenario(caller):
        pcmu(caller)
        caller.voice.say(words("echo", "bravo", "hotel"))
        await caller.call()
        assert await caller.hear() == "echo bravo hotel"

    run(scenario, server)


@pytest.mark.parametrize("beta", [False, True])
def test_messages_both_ways(server, beta):
    async def scenario(caller):
        await caller.call(headers=BETA if beta else {})
        await caller.receive()
        caller.send("session.update", session={"type": "transcription", "audio": {"input": {"turn_detection": None}}})
        assert (await caller.receive())["type"] == "session.updated"  # an update is answered as it was written
        caller.send("transcription_session.update", session={"turn_detection": None})
        assert (await caller.receive())["type"] == "transcription_session.updated"
        caller.send("input_audio_buffer.append", audio=base64(speech("golf", "alpha")))
        committed = await caller.ask("input_audio_buffer.commit")
        assert committed["type"] == COMMITTED
        done = (await caller.until(COMPLETED))[-1]
        assert done["transcript"] == "golf alpha"
        kept = await caller.ask("conversation.item.retrieve", item_id=committed["item_id"])
        assert kept["type"] == "conversation.item.retrieved"
        assert kept["item"]["content"][0]["transcript"] == "golf alpha"
        assert "audio" not in kept["item"]["content"][0]
        refused = await caller.ask("no.such.event", event_id="mine")
        assert (refused["error"]["code"], refused["error"]["event_id"]) == ("invalid_value", "mine")
        caller.channel.send(b"\x00")
        refused = await caller.receive()
        assert (refused["error"]["code"], refused["error"]["event_id"]) == ("invalid_event", None)

    run(scenario, server, audio=False)


def test_media_and_a_session_in_another_format(server):
    async def scenario(caller):
        pcmu(caller)
        await caller.call()
        await caller.receive()
        heard = {"format": {"type": "audio/pcma"}, "turn_detection": None}
        caller.send("session.update", session={"type": "transcription", "audio": {"input": heard}})
        await caller.until("session.updated")
        caller.voice.say(words("delta", "india"))
        while caller.voice.left_s:
            await asyncio.sleep(0.1)
        caller.send("input_audio_buffer.commit")
        assert await caller.hear() == "delta india"

    run(scenario, server)


def test_no_event_is_larger_than_a_channel_takes(server):
    async def scenario(caller):
        await caller.call()
        await caller.receive()
        long = "\u20ac" * 80_000  # 240 kB in UTF-8
        heard = {"transcription": {"model": "whisper-1", "prompt": long}}
        told = await caller.ask("session.update", session={"type": "realtime", "audio": {"input": heard}})
        assert told["type"] == "session.updated"
        told = await caller.ask("session.update", session={"type": "realtime", "instructions": long})
        assert told["error"]["code"] == "event_too_large"
        assert (await caller.ask("input_audio_buffer.clear"))["type"] == "input_audio_buffer.cleared"

    run(scenario, server, audio=False)


def beside(server, caller, **options):
    call_id = caller.location.rpartition("/")[2]
    return connect(f"ws{server.url[4:]}/v1/realtime?call_id={call_id}", compression=None, **options)


async def next_of(socket, kind):
    async with asyncio.timeout(20):
        while (event := json.loads(await socket.recv()))["type"] != kind:
            pass
    return event


def test_who_listens_beside_a_call(server):
    async def scenario(caller):
        await caller.call()
        await caller.receive()
        async with beside(server, caller) as ga, beside(server, caller, additional_headers=BETA) as beta:
            assert json.loads(await ga.recv())["type"] == "session.created"
            assert json.loads(await beta.recv())["type"] == "transcription_session.created"
            update = {"type": "transcription_session.update", "session": {"turn_detection": None}}
            await ga.send(json.dumps(update))
            assert json.loads(await ga.recv())["type"] == "session.updated"
            assert json.loads(await beta.recv())["type"] == "transcription_session.updated"
            assert (await caller.receive())["type"] == "session.updated"
            await beta.send(json.dumps({"type": "no.such.event", "event_id": "its"}))
            assert json.loads(await beta.recv())["error"]["event_id"] == "its"
            append = {"type": "input_audio_buffer.append", "audio": base64(speech("hotel"))}
            await ga.send(json.dumps(append))
            await beta.send(json.dumps({"type": "input_audio_buffer.commit"}))
            for socket in (ga, beta):
                assert (await next_of(socket, COMPLETED))["transcript"] == "hotel"
            assert await caller.hear() == "hotel"  # and no error of another's
            httpx.post(f"{server.url}{caller.location}/hangup")
            for socket in (ga, beta):
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
                assert closed.value.rcvd.code == 1000

    run(scenario, server, audio=False)


def test_nobody_listens_to_a_call_that_is_not_there(server):
    async def scenario():
        async with connect(f"ws{server.url[4:]}/v1/realtime?call_id=rtc_none") as socket:
            assert json.loads(await socket.recv())["error"]["code"] == "call_not_found"
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd.code == 4000

    asyncio.run(scenario())


async def vanish(caller, relay):
    relay.cut = True


async def close_all(caller, relay):
    await caller.close()


async def close_channel(caller, relay):
    caller.channel.close()


async def hang_up(caller, relay):
    async with httpx.AsyncClient() as client:
        assert (await client.post(f"{caller.url}{caller.location}/hangup")).status_code == 200


@pytest.mark.parametrize("leave", [close_all, close_channel, hang_up, vanish])
def test_the_open_turn_is_finished_however_the_call_ends(server, leave, monkeypatch):
    monkeypatch.setattr("hark.edge.peer.GONE_S", 3.0)

    async def scenario(caller):
        relay = Relay()
        await caller.call(relay=relay)
        await caller.receive()
        async with beside(server, caller) as listener:
            caller.voice.say(tone(60))
            await next_of(listener, STARTED)
            await asyncio.sleep(0.4)
            await leave(caller, relay)
            assert (await next_of(listener, COMPLETED))["transcript"]
            with pytest.raises(ConnectionClosed) as closed:
                await listener.recv()
            assert closed.value.rcvd.code == 1000
        again = httpx.post(f"{server.url}{caller.location}/hangup")
        assert again.status_code == 404
        relay.close()

    run(scenario, server)


def test_a_call_that_nobody_answers_ends(server, monkeypatch):
    monkeypatch.setattr("hark.edge.peer.CONNECT_S", 0.5)

    async def scenario(caller):
        sdp = await caller.offer()
        answer = httpx.post(f"{server.url}/v1/realtime/calls", content=sdp)
        deadline = asyncio.get_running_loop().time() + 20
        while httpx.post(f"{server.url}{answer.headers['location']}/accept").status_code != 404:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.1)

    run(scenario, server)


@pytest.mark.parametrize("kept", [True, False])
def test_a_second_of_silence_in_the_network(server, kept):
    """What was held up is heard, what was lost is silence; the audio clock goes on either way."""

    async def scenario(caller):
        relay = Relay()
        await caller.call(relay=relay)
        await caller.receive()
        caller.voice.say(np.concatenate([np.zeros(RATE // 2, np.float32), tone(0.5), np.zeros(RATE, np.float32)]))
        first = await caller.until(COMPLETED)
        if kept:
            relay.held = []
        else:
            relay.cut = True
        await asyncio.sleep(1.0)
        relay.cut = False
        relay.release()
        caller.voice.say(np.concatenate([tone(0.5), np.zeros(RATE, np.float32)]))
        began = asyncio.get_running_loop().time()
        second = await caller.until(COMPLETED)
        assert asyncio.get_running_loop().time() - began < 15
        starts = [event["audio_start_ms"] for event in first + second if event["type"] == STARTED]
        assert len(starts) == 2
        assert starts[1] - starts[0] >= 1_600  # the second that was lost counts
        assert starts[1] <= caller.voice.position_ms
        relay.close()

    run(scenario, server)


def test_loss_and_jitter_lose_no_turn(server):
    async def scenario(caller):
        relay = Relay(seed=5)
        await caller.call(relay=relay)
        await caller.receive()
        relay.loss, relay.jitter_s = 0.05, 0.05
        turns = 5
        caller.voice.say(np.concatenate([np.zeros(RATE // 2, np.float32), tone(0.6)] * turns))
        starts = []
        for _ in range(turns):
            events = await caller.until(COMPLETED)
            starts += [event["audio_start_ms"] for event in events if event["type"] == STARTED]
        assert len(starts) == turns
        assert np.diff(starts) == pytest.approx(1_100, abs=200)  # a word's first packets may be among the lost
        assert relay.lost > 0
        relay.close()

    run(scenario, server)


def test_a_call_without_a_channel_is_heard_beside_it(server):
    async def scenario(caller):
        await caller.call()
        async with beside(server, caller) as listener:
            caller.voice.say(np.concatenate([tone(0.6), np.zeros(RATE, np.float32)]))
            assert (await next_of(listener, COMPLETED))["transcript"]

    run(scenario, server, channel=False)
