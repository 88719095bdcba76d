"""Lives of the soak over WebSocket: somebody talks, and all sorts of things happen meanwhile.

Rule: what a life does follows from its number and the seed alone, as far as the server's answers allow; it talks in
real time; and whatever it did on purpose is in its books, so that all else is a finding.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final

import msgspec
import pybase64
from websockets.exceptions import InvalidHandshake

from hark.bench.socket import Socket, masked
from soak_accounts import Account
from soak_world import FORMATS, PATIENCE_S, REFUSALS, World

MODES: Final = ("server_vad", "semantic_vad", "manual", "mixed")
ENDINGS: Final = {"close": 40, "goodbye": 15, "goodbye without a code": 5, "reset": 12, "hang-up": 8, "too late": 8}
PACKET_MS: Final = (20, 40, 100, 100, 200)
BURST_MS: Final = 6_000
# Frames that cannot be right; the answer to each is one error.
MALFORMED: Final = (
    "{",
    "null",
    "[]",
    '{"type": 5}',
    '{"type": "no.such.event"}',
    '{"type": "input_audio_buffer.append"}',
    '{"type": "input_audio_buffer.append", "audio": "*"}',
    '{"type": "session.update", "session": {"no_such_field": 1}}',
    '{"type": "conversation.item.truncate", "item_id": "item_x", "content_index": 0, "audio_end_ms": 1}',
    b"\x00\x01\x02",
)
# A server has this long to finish what was open when a client has gone, and a little more.
FINISH_S: Final = 15.0

_decoder = msgspec.json.Decoder()


class _OverError(Exception):
    """The life cannot go on."""


class Talk:
    """One client and its session. `secret`: a client secret to connect with, in place of a key."""

    def __init__(self, world: World, name: str, chance: Random, *, secret: str | None = None) -> None:
        self.world = world
        self.chance = chance
        self.account = Account(name, slow_s=world.slow_s)
        self.key_name = chance.choices(("own", "stored", "limited"), (4, 5, 1))[0]
        self.key = world.keys[self.key_name]
        self.secret = secret
        self.beta = chance.random() < 0.4
        self.mode = chance.choice(MODES)
        self.form = ("pcm16", 24_000)
        self.wants_form = chance.choice(FORMATS)
        self.packet_ms = chance.choice(PACKET_MS)
        self.ending = chance.choices([*ENDINGS], [*ENDINGS.values()])[0]
        self.scores = chance.random() < 0.15
        self.utterances = chance.randint(1, world.utterances)
        self.restless = chance.choice((0.0, 0.3, 0.6))  # how often something happens
        self.socket: Socket
        self._numbers = 0
        self._made_ms = 0  # how much of the tape has been spoken
        self._tape: list[tuple[int, int | None, int]] = []  # from which ms on which clip is heard, and its offset
        self._due = 0.0

    async def live(self) -> None:
        try:
            await self._connect("")
            self._set_up()
            for _ in range(self.utterances):
                if self.world.ending.is_set():
                    break
                await self._utter()
            await self._leave()
        except _OverError:
            if self.account.refusal:  # in coming back, perhaps; then the session ends by itself
                await self.world.compare(self.account, self.key, within_s=self.world.resume_s + FINISH_S)
        finally:
            if hasattr(self, "socket"):
                await self.socket.close()
            self.world.books.settle(self.account)

    # ---- connections ---------------------------------------------------------------------------------------------

    async def _connect(self, query: str) -> None:
        """Until the greeting. Raises _OverError where the server lets nobody in."""
        headers = {"OpenAI-Beta": "realtime=v1"} if self.beta else {}
        protocols = ("realtime", f"openai-insecure-api-key.{self.secret}") if self.secret else ()
        key = None if self.secret else self.key
        self.account.connect()
        url = self.world.socket_url + query
        self._line = line = object()  # what an older connection still says is nobody's business

        def hear(message: str | bytes, at: float) -> None:
            if self._line is line:
                self.account.told(_decoder.decode(message), at)

        self.socket = Socket(url, key, None, hear, headers=headers, subprotocols=protocols)
        began = time.monotonic()
        try:
            await self.socket.open(())
            until = began + PATIENCE_S
            while not (self.account.greeted or self.socket.lost.is_set() or time.monotonic() > until):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        except (OSError, TimeoutError, InvalidHandshake) as error:
            self._find(f"no connection: {error!r}")
        if not self.account.greeted:
            self._find(f"no greeting in {time.monotonic() - began:.1f} s: {self.socket.closed}")
        if (took := time.monotonic() - began) > self.world.slow_s:
            self.account.slow.append(f"the greeting took {took:.1f} s")
        if self.account.refusal in REFUSALS:
            self.world.books.counts[f"refused: {self.account.refusal}"] += 1
            await self.world.pause(self.chance.uniform(1, 4))
            raise _OverError
        if self.account.refusal and not query:
            self._find(f"refused: {self.account.refusal}")
        self._due = time.monotonic()

    async def _come_back(self, cut_at: float) -> None:
        """After a cut, with all that the server does not have."""
        after = self.account.last_event
        await self._connect(f"&resume={self.account.session_id}&after={after}")
        if self.account.refusal and time.monotonic() - cut_at > 0.8 * self.world.resume_s:
            self.world.books.counts["late in coming back, for this machine was slow"] += 1
            raise _OverError
        if self.account.refusal:
            self._find(f"it could not come back: {self.account.refusal}")
        self.world.books.counts["resumed"] += 1
        if self.account.gap:
            self.world.books.counts["resumed with events missed"] += 1
        self._set_up()  # what was on its way may not have arrived
        at = self.account.sent_ms
        while at < self._made_ms:
            until = min(at + 200, self._made_ms)
            self._append(at, until)
            at = until

    def _find(self, what: str) -> None:
        self.account.faults.append(what)
        raise _OverError

    # ---- talking -------------------------------------------------------------------------------------------------

    def _say(self, kind: str, *, may_fail: bool = False, **fields: Any) -> None:
        self._numbers += 1
        event_id = f"mine_{self._numbers}"
        self.account.ask(kind, event_id, time.monotonic(), may_fail=may_fail)
        self.socket.write(masked(msgspec.json.encode({"type": kind, "event_id": event_id, **fields}).decode()))

    def _append(self, first_ms: int, last_ms: int) -> None:
        """What the tape holds there, a packet for each clip that it touches."""
        while first_ms < last_ms:
            begins, clip, offset = self._tape[bisect_right(self._tape, first_ms, key=_begin) - 1]
            following = [each[0] for each in self._tape if each[0] > first_ms][:1]
            until = min([last_ms, *following])
            at = first_ms - begins + offset
            if clip is None:  # a second of noise, over and over
                at %= 1_000
                until = min(until, first_ms + 1_000 - at)
            audio = self.world.sounds.cut(clip, at, at + until - first_ms, self.form)
            text = pybase64.b64encode_as_string(audio)
            self.account.send(until - first_ms)
            self.socket.write(masked(f'{{"type":"input_audio_buffer.append","audio":"{text}"}}'))
            first_ms = until

    async def _play(self, clip: int | None, first_ms: int, last_ms: int, *, speed: float = 1.0) -> None:
        """A stretch of a clip, or of noise, in real time."""
        self._tape.append((self._made_ms, clip, first_ms))
        end = self._made_ms + last_ms - first_ms
        self._due = max(self._due, time.monotonic() - 0.5)
        while self._made_ms < end:
            step = min(self.packet_ms, end - self._made_ms)
            self._due += step / 1_000 / speed
            if (wait := self._due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            if self.socket.lost.is_set():
                self._find(f"the server ended the connection: {self.socket.closed}")
            self._append(self._made_ms, self._made_ms + step)
            self._made_ms += step

    async def _utter(self) -> None:
        clip = self.chance.randrange(len(self.world.sounds.seconds))
        length = int(self.world.sounds.seconds[clip] * 1_000)
        if self.chance.random() < self.restless:
            middle = self.chance.randrange(200, length)
            await self._play(clip, 0, middle)
            await self._something()
            await self._play(clip, middle, length)
        else:
            await self._play(clip, 0, length)
        if self.mode == "manual" or (self.mode == "mixed" and self.chance.random() < 0.5):
            self._say("input_audio_buffer.commit", may_fail=self.mode == "mixed" or self.restless > 0)
        await self._play(None, 0, self.chance.randint(400, 1_600))
        if self.chance.random() < self.restless:
            await self._something()

    # ---- settings ------------------------------------------------------------------------------------------------

    def _set_up(self) -> None:
        include = ["hark.voice_activity"] if self.scores else None
        self._update(self._format(self.wants_form) | self._detection() | ({"include": include} if include else {}))
        self.form = self.wants_form

    def _update(self, fields: dict[str, Any], *, may_fail: bool = False) -> None:
        """Fields as the beta dialect has them, flat."""
        if self.beta:
            self._say("transcription_session.update", session=fields, may_fail=may_fail)
            return
        sound: dict[str, Any] = {}
        session: dict[str, Any] = {"type": "transcription", "audio": {"input": sound}}
        for name, value in fields.items():
            match name:
                case "input_audio_format":
                    law = {"g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}.get(value["type"])
                    sound["format"] = {"type": law} if law else {"type": "audio/pcm", "rate": value["rate"]}
                case "turn_detection":
                    sound["turn_detection"] = value
                case "input_audio_noise_reduction":
                    sound["noise_reduction"] = value
                case _:
                    session[name] = value
        self._say("session.update", session=session, may_fail=may_fail)

    def _format(self, form: tuple[str, int]) -> dict[str, Any]:
        return {"input_audio_format": {"type": form[0], "rate": form[1]}}

    def _detection(self) -> dict[str, Any]:
        if self.mode == "manual":
            return {"turn_detection": None}
        if self.mode == "semantic_vad":
            return {"turn_detection": {"type": "semantic_vad", "eagerness": self.chance.choice(("auto", "high"))}}
        silence = self.chance.choice((200, 300, 500))
        return {"turn_detection": {"type": "server_vad", "silence_duration_ms": silence}}

    # ---- what happens --------------------------------------------------------------------------------------------

    async def _something(self) -> None:
        happenings: dict[Callable[[], Awaitable[None]], int] = {
            self._cut: 4, self._take_over: 1, self._garble: 3, self._clear: 1, self._delete: 2, self._retrieve: 2,
            self._create: 1, self._respond: 1, self._change: 3, self._change_format: 2, self._stall: 1, self._burst: 1,
            self._idle: 2,
        }  # fmt: skip
        happening = self.chance.choices([*happenings], [*happenings.values()])[0]
        self.world.books.counts[happening.__name__.strip("_").replace("_", " ")] += 1
        await happening()

    async def _cut(self) -> None:
        """Off, and back; perhaps off again at once."""
        for _ in range(self.chance.choice((1, 1, 2, 3))):
            self.account.cut()
            cut_at = time.monotonic()
            if self.chance.random() < 0.6:
                self.socket.cut()
            else:
                await self.socket.close()
            await self.socket.lost.wait()
            await asyncio.sleep(self.world.resume_s * self.chance.choice((0.0, 0.02, 0.2, 0.5)))
            await self._come_back(cut_at)

    async def _take_over(self) -> None:
        """Back by another connection, while the first one is still there."""
        old = self.socket
        self.account.cut()
        try:
            await self._come_back(time.monotonic())
        except _OverError:
            old.cut()
            raise
        try:
            async with asyncio.timeout(PATIENCE_S):
                await old.lost.wait()
        except TimeoutError:
            self._find("a connection that was taken over stayed open")
        if old.close_code != 4000:
            self.account.faults.append(f"a connection that was taken over ended with {old.close_code}")

    async def _garble(self) -> None:
        frame = self.chance.choice(MALFORMED)
        self.account.ask("nonsense", None, time.monotonic())
        self.socket.write(masked(frame))

    async def _clear(self) -> None:
        self._say("input_audio_buffer.clear")

    async def _delete(self) -> None:
        self._say("conversation.item.delete", item_id=self._some_item(), may_fail=True)

    async def _retrieve(self) -> None:
        self._say("conversation.item.retrieve", item_id=self._some_item(), may_fail=True)

    def _some_item(self) -> str:
        return self.chance.choice([*[item.id for item in self.account.ended()], "item_unknown"])

    async def _create(self) -> None:
        content = [{"type": "input_text", "text": "hello"}]
        self._say("conversation.item.create", item={"type": "message", "role": "user", "content": content})

    async def _respond(self) -> None:
        self._say("response.create")

    async def _change(self) -> None:
        near = {"input_audio_noise_reduction": self.chance.choice((None, {"type": "near_field"}))}
        self._update(self._detection() if self.chance.random() < 0.6 else near)

    async def _change_format(self) -> None:
        self.form = self.wants_form = self.chance.choice(FORMATS)
        self._update(self._format(self.form))

    async def _stall(self) -> None:
        """Read nothing for a while, and go on talking."""
        self.account.patient = True
        self.socket.listen(False)
        await self._play(None, 0, self.chance.randint(500, 4_000))
        self.socket.listen(True)
        await self._play(None, 0, 500)
        self.account.patient = False

    async def _burst(self) -> None:
        """Faster than real time, as one who catches up."""
        self.account.patient = True  # the models have as much more to do
        clip = self.chance.randrange(len(self.world.sounds.seconds))
        await self._play(clip, 0, min(BURST_MS, int(self.world.sounds.seconds[clip] * 1_000)), speed=20)
        await self._play(None, 0, 1_000)

    async def _idle(self) -> None:
        await self.world.pause(self.chance.uniform(0.5, 4))

    # ---- the end -------------------------------------------------------------------------------------------------

    async def _leave(self) -> None:
        if self.chance.random() < 0.4:  # in mid-turn
            clip = self.chance.randrange(len(self.world.sounds.seconds))
            await self._play(clip, 0, self.chance.randrange(300, int(self.world.sounds.seconds[clip] * 1_000)))
        self.world.books.counts[f"left by {self.ending}"] += 1
        match self.ending:
            case "close":
                await self._close()
                return
            case "goodbye" | "goodbye without a code":
                self.socket.say_goodbye(1000 if self.ending == "goodbye" else None)
                wait_s = 0.0
            case "reset" | "too late":
                self.socket.cut()
                wait_s = self.world.resume_s
            case "hang-up":
                await self.socket.close()
                wait_s = self.world.resume_s
        self.account.cut()
        await self._gone()
        if self.ending == "too late":
            await asyncio.sleep(wait_s + 0.5)
            await self._come_late()
        await self.world.compare(self.account, self.key, within_s=wait_s + FINISH_S)

    async def _close(self) -> None:
        self.account.trail.append("-> session.close")
        self.socket.write(masked('{"type":"session.close"}'))
        await self._gone()
        self.account.closed(self.socket.close_code)
        await self.world.compare(self.account, self.key, within_s=self.world.slow_s)

    async def _gone(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.socket.lost.wait()
        except TimeoutError:
            self._find(f"the connection was not closed {PATIENCE_S:.0f} s after the end ({self.ending})")

    async def _come_late(self) -> None:
        """The session has been given up."""
        books, self.account.refusal = Account(self.account.name), None
        kept, self.account = self.account, books  # for this is another session's connection
        try:
            await self._connect(f"&resume={kept.session_id}")
            if books.refusal != "session_not_found":
                kept.faults.append(f"who came back too late was answered with {books.refusal}")
            await self._gone()
        finally:
            self.account = kept
            kept.faults += books.faults
        if self.socket.close_code != 4000:
            kept.faults.append(f"who came back too late was closed with {self.socket.close_code}")


def _begin(stretch: tuple[int, int | None, int]) -> int:
    return stretch[0]
