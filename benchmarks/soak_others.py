"""Lives of the soak that are no talk over WebSocket: uploads, client secrets, calls, and strangers at the door.

Rule: as in the talks, whatever is not asked for is a finding.
"""

from __future__ import annotations

import asyncio
import json
import time
from random import Random
from typing import Any, Final

from websockets.exceptions import InvalidHandshake

from hark.bench.socket import Socket
from soak_accounts import Account
from soak_talks import FINISH_S, Talk
from soak_world import PATIENCE_S, REFUSALS, World

UPLOADS: Final = "/v1/audio/transcriptions"
UPLOAD_S: Final = 60.0  # files wait behind all that is live
MARK: Final = "soak-form-boundary"
FRAME_MS: Final = 20
CALL_ENDINGS: Final = ("close", "hang up", "vanish")  # of the last, a server learns after 10 s
MOST_CALLS: Final = 3  # which cost this process more than all talks


async def talk(world: World, name: str, chance: Random) -> None:
    await Talk(world, name, chance).live()


async def talk_by_secret(world: World, name: str, chance: Random) -> None:
    """Mint a client secret, and talk with it."""
    key = world.keys["stored"]
    session = {"type": "transcription"}
    answer = await world.ask("POST", "/v1/realtime/client_secrets", key, json={"session": session})
    if answer.status_code != 200:
        world.books.find(name, f"no client secret: {answer.status_code} {answer.text[:200]}")
        return
    one = Talk(world, name, chance, secret=answer.json()["value"])
    one.key, one.beta = key, False
    await one.live()


# ---- files -----------------------------------------------------------------------------------------------------------


async def upload(world: World, name: str, chance: Random) -> None:
    """A file, in one of the forms of answer."""
    form = chance.choice(("json", "text", "verbose_json", "srt"))
    model = "whisper-1" if form != "json" else "gpt-4o-transcribe"
    answer = await _send(world, chance, {"model": model, "response_format": form})
    if answer is not None and answer.status_code != 200:
        world.books.find(name, f"an upload was answered with {answer.status_code} {answer.text[:200]}")


async def upload_streamed(world: World, name: str, chance: Random) -> None:
    answer = await _send(world, chance, {"model": "gpt-4o-mini-transcribe", "stream": "true"})
    if answer is None:
        return
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    if answer.status_code != 200 or not events or events[-1]["type"] != "transcript.text.done":
        kinds = [each["type"] for each in events[-3:]]
        world.books.find(name, f"a streamed upload was answered with {answer.status_code} and ended with {kinds}")
        return
    if "".join(each["delta"] for each in events if each["type"] == "transcript.text.delta") != events[-1]["text"]:
        world.books.find(name, "the deltas of a streamed upload are not its text")


async def upload_broken(world: World, name: str, chance: Random) -> None:
    """A file that is none, or half of one."""
    whole = world.sounds.wav(chance.randrange(len(world.sounds.seconds)))
    data = chance.choice((chance.randbytes(chance.randrange(1, 20_000)), whole[:30], b"", b"ID3" + whole[:2_000]))
    answer = await _send(world, chance, {"model": "whisper-1"}, data)
    if answer is not None and answer.status_code != 400:
        world.books.find(name, f"a broken upload was answered with {answer.status_code} {answer.text[:200]}")


async def upload_cut_off(world: World, name: str, chance: Random) -> None:
    """A body that stops half-way, or a client that goes before the answer."""
    file = world.sounds.wav(chance.randrange(len(world.sounds.seconds)))
    head = f'--{MARK}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'.encode()
    tail = f'\r\n--{MARK}\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--{MARK}--\r\n'.encode()
    body = head + file + tail
    request = (
        f"POST {UPLOADS} HTTP/1.1\r\nHost: soak\r\nAuthorization: Bearer {world.keys['own']}\r\n"
        f"Content-Type: multipart/form-data; boundary={MARK}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    sent = len(body) if chance.random() < 0.4 else chance.randrange(len(body))
    await _rude(world, request + body[:sent], chance)


async def _send(world: World, chance: Random, fields: dict[str, str], file: bytes | None = None) -> Any:
    """The answer; None where there is no room."""
    data = world.sounds.wav(chance.randrange(len(world.sounds.seconds))) if file is None else file
    files = {"file": ("a.wav", data, "audio/wav")}
    key = world.keys[chance.choice(("own", "stored"))]
    answer = await world.ask("POST", UPLOADS, key, slow_s=UPLOAD_S, data=fields, files=files)
    world.books.counts["uploads"] += 1
    if answer.status_code == 429:
        world.books.counts["refused: uploads"] += 1
        return None
    return answer


# ---- strangers -------------------------------------------------------------------------------------------------------


async def wrong_key(world: World, name: str, chance: Random) -> None:
    account, greeted = Account(name, slow_s=world.slow_s), asyncio.Event()

    def hear(message: str | bytes, at: float) -> None:
        account.told(json.loads(message), at)
        greeted.set()

    account.connect()
    socket = Socket(world.socket_url, "sk-hark-no-such-key", None, hear)
    try:
        await socket.open(())
        async with asyncio.timeout(PATIENCE_S):
            await greeted.wait()
            await socket.lost.wait()
    except (OSError, TimeoutError, InvalidHandshake) as error:
        world.books.find(name, f"a wrong key was not answered: {error!r}")
        return
    if (account.refusal, socket.close_code) != ("invalid_api_key", 3000):
        world.books.find(name, f"a wrong key was answered with {account.refusal} and {socket.close_code}")


async def half_a_handshake(world: World, name: str, chance: Random) -> None:
    """Some bytes, silence, and gone."""
    request = (
        f"GET /v1/realtime?intent=transcription HTTP/1.1\r\nHost: soak\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Authorization: Bearer {world.keys['own']}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()
    await _rude(world, request[: chance.randrange(len(request) + 1)], chance)


async def _rude(world: World, data: bytes, chance: Random) -> None:
    _, writer = await asyncio.open_connection(*world.url.removeprefix("http://").split(":"))
    try:
        writer.write(data)
        await asyncio.sleep(chance.uniform(0, 0.5))
        if chance.random() < 0.5:
            writer.transport.abort()
    finally:
        writer.close()


# ---- calls -----------------------------------------------------------------------------------------------------------


class Callers:
    """Calls by WebRTC, no more than MOST_CALLS at once; others talk over WebSocket instead."""

    def __init__(self, world: World) -> None:
        from hark.bench import webrtc  # noqa: PLC0415 - aiortc is heavy

        self._webrtc = webrtc
        self._world = world
        self._open = 0
        self._pause = webrtc.silence(FRAME_MS)
        self._packets: dict[int, list[bytes]] = {}

    async def call(self, world: World, name: str, chance: Random) -> None:
        if self._open >= MOST_CALLS:
            await talk(world, name, chance)
            return
        self._open += 1
        try:
            await self._call(Account(name, slow_s=world.slow_s), chance)
        finally:
            self._open -= 1

    async def _call(self, account: Account, chance: Random) -> None:
        world, key = self._world, self._world.keys[chance.choice(("own", "stored"))]

        def hear(message: str | bytes, at: float) -> None:
            account.told(json.loads(message), at)

        call = self._webrtc.Call(self._webrtc.calls_url(world.socket_url), key, None, hear)
        account.connect()
        ending = chance.choice(CALL_ENDINGS[: 3 if world.resume_s > 1 else 2])
        try:
            await call.open([json.dumps({"type": "transcription"})])
            account.sent_ms = 1_000_000  # what the server puts into holes is on its clock too
            for _ in range(chance.randint(1, 3)):
                await self._speak(call, chance)
            world.books.counts[f"calls ended by {ending}"] += 1
            if ending == "vanish":
                self._vanish(call)
            elif ending == "close":
                call.say('{"type":"session.close"}')
                until = time.monotonic() + PATIENCE_S
                while call.closed is None and time.monotonic() < until:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.05)
        except (OSError, TimeoutError) as error:
            if any(each in str(error) for each in REFUSALS):
                world.books.counts["refused: calls"] += 1
            else:
                account.faults.append(f"a call failed: {error!r}")
        finally:
            await asyncio.gather(call.close(), world.compare(account, key, within_s=10 + FINISH_S))
            world.books.settle(account)

    async def _speak(self, call: Any, chance: Random) -> None:
        """A clip and a pause, in real time."""
        clip = chance.randrange(len(self._world.sounds.seconds))
        if clip not in self._packets:
            audio = self._world.sounds.audio(clip)
            self._packets[clip] = self._webrtc.Calls.encode(audio, (0, len(audio)), _sending())
        due = time.monotonic()
        for packet in [*self._packets[clip], *[self._pause] * chance.randrange(20, 60)]:
            due += FRAME_MS / 1_000
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            call.write(packet)

    @staticmethod
    def _vanish(call: Any) -> None:
        """Its sockets are gone, and nobody says so."""
        for protocol in call._sender.transport.transport._connection._protocols:
            protocol.transport.abort()


def _sending() -> Any:
    from hark.bench.protocols import Sending  # noqa: PLC0415

    return Sending(frame_samples=FRAME_MS * 16)


# How often each kind of life is lived.
KINDS: Final = {
    talk: 76,
    talk_by_secret: 4,
    upload: 6,
    upload_streamed: 3,
    upload_broken: 3,
    upload_cut_off: 3,
    wrong_key: 2,
    half_a_handshake: 2,
}
CALLS: Final = 3
