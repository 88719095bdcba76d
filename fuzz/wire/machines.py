"""State machines over the wire: several sessions at once, HTTP beside them, any event at any moment.

After every example each session that is left is closed and its ledger must add up, the server is there, its log is
clean, and a new session hears what is said to it. `Machine.server` is set by who runs one.
"""

import json
from collections import Counter
from http.client import HTTPException
from urllib.parse import quote

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from fuzz.wire import said
from fuzz.wire.client import FATAL, Client
from serving import base64, speech
from streams import BINARY, CLOSE, PING, PONG, frame

MOST = 3
# Of audio that a session is given in one example: what is slow shall be a hang, and not much work.
MOST_BYTES = 1_500_000
TOO_MUCH = json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 4 * (5 * 2**20 + 1)})
BETA = {"OpenAI-Beta": "realtime=v1"}
TARGETS = [
    "/v1/realtime?intent=transcription", "/v1/realtime?model=gpt-realtime", "/v1/realtime?model=gpt-4o-transcribe",
    "/realtime/", "/openai/realtime?api-version=2025-04-01-preview&deployment=x", "/v1/realtime/transcription_sessions",
    "/v1/realtime?model=gpt-live-transcribe&%ff=%00",
]  # fmt: skip
COMPLETED = "conversation.item.input_audio_transcription.completed"
BETWEEN = st.sampled_from([b"", b"", frame(PING, b"between"), frame(PONG), frame(PING) * 3])
CUTS = st.lists(st.integers(0, 5_000), max_size=3)
which = st.integers(0, MOST - 1)
tried = Counter()


class Machine(RuleBasedStateMachine):
    server = None
    dialects = ("ga",)

    def __init__(self):
        super().__init__()
        self.clients = []
        self._number = 0
        self._bytes = 0
        self._much = tried["examples"] % 10 > 0
        tried["examples"] += 1

    @initialize(dialect=st.sampled_from(["ga", "beta"]))
    def begin(self, dialect):
        self._connect(dialect)

    # ---- what all rules have in common

    def _connect(self, dialect, target=TARGETS[0], **options):
        if dialect not in self.dialects:
            dialect = self.dialects[0]
        headers = BETA if dialect == "beta" else {}
        self.clients.append(Client(self.server, target, **headers, **options))
        tried["connections"] += 1

    def _client(self, number):
        for client in self.clients:
            if not client.open:
                client.drop()
        self.clients = [client for client in self.clients if client.open]
        if not self.clients:
            self._connect(self.dialects[0])
        return self.clients[number % len(self.clients)]

    def _event_id(self):
        self._number += 1
        return f"e{self._number}"

    def _named(self, client, tree):
        """Words that stand for items, replaced by their ids."""
        order = client.ledger.order or ["none"]
        names = {"<open>": client.ledger.open or "none", "<last>": order[-1], "<first>": order[0]}
        if isinstance(tree, dict):
            return {key: self._named(client, value) for key, value in tree.items()}
        return names.get(tree, tree) if isinstance(tree, str) else tree

    # ---- connections

    @rule(dialect=st.sampled_from(["ga", "beta"]), url=st.sampled_from(TARGETS))
    def another(self, dialect, url):
        if len(self.clients) < MOST:
            self._connect(dialect, url)

    @rule(dialect=st.sampled_from(["ga", "beta"]), text=said.encoded)
    def speaks_before_the_answer(self, dialect, text):
        """The first frame stands in the same packet as the handshake."""
        if len(self.clients) < MOST and _sendable(text):
            self._connect(dialect, early=frame(1, text.encode()))
            client = self.clients[-1]
            client.note(text)
            tried["frames"] += 1

    @rule(number=which, how=st.sampled_from(["drop", "reset", "half", "close", "finish"]))
    def leaves(self, number, how):
        client = self._client(number)
        if how == "half":
            client.half_close()
        elif how == "close":
            client.raw(frame(CLOSE, b"\x03\xe8"))
            client.closes({1000})
        elif how == "finish":
            client.finish(self._event_id())
        else:
            client.drop(reset=how == "reset")

    # ---- messages

    @rule(number=which, event=said.events, cuts=CUTS, between=BETWEEN)
    def sends(self, number, event, cuts, between):
        self._frame(
            number, json.dumps(self._named(self._client(number), event) | {"event_id": self._event_id()}), cuts, between
        )

    @rule(number=which, event=said.strange, named=st.booleans(), cuts=CUTS, between=BETWEEN)
    def sends_what_is_strange(self, number, event, named, cuts, between):
        client = self._client(number)
        event = self._named(client, event)
        self._frame(number, json.dumps(event | {"event_id": self._event_id()} if named else event), cuts, between)

    @rule(number=which, text=said.junk, cuts=CUTS, between=BETWEEN, binary=st.booleans())
    def sends_junk(self, number, text, cuts, between, binary):
        if binary and isinstance(text, str):
            text = text.encode(errors="surrogatepass")
        self._frame(number, text, cuts, between)

    def _frame(self, number, text, cuts, between):
        client = self._client(number)
        if isinstance(text, str) and not _sendable(text):
            return  # no text of a WebSocket, which is `broken`
        client.frame(text, cuts, between, opcode=BINARY if isinstance(text, bytes) else 1)
        tried["frames"] += 1

    @rule(number=which, audio=said.appended, pieces=st.integers(1, 6))
    def appends(self, number, audio, pieces):
        client = self._client(number)
        self._bytes += len(audio)
        if self._bytes > MOST_BYTES:
            return
        size = -(-len(audio) // pieces // 4) * 4 or 4
        for at in range(0, len(audio), size):
            client.say("input_audio_buffer.append", audio=audio[at : at + size], event_id=self._event_id())
            tried["frames"] += 1

    @rule(number=which)
    def appends_too_much(self, number):
        """Once an example: 20 MiB take a while."""
        if not self._much:
            self._much = True
            self._frame(number, TOO_MUCH, (), b"")

    @rule(number=which, times=st.integers(2, 60), event=said.events)
    def floods(self, number, times, event):
        """One event many times in one packet."""
        client = self._client(number)
        text = json.dumps(self._named(client, event))
        for _ in range(times):
            client.note(text)
        client.raw(frame(1, text.encode()) * times)
        tried["frames"] += times

    # ---- frames

    @rule(number=which, payload=st.binary(min_size=1, max_size=125))
    def pings(self, number, payload):
        self._client(number).ping(payload)
        tried["frames"] += 1

    @rule(number=which, data=said.fatal)
    def broken(self, number, data):
        client = self._client(number)
        client.raw(data)
        client.closes(FATAL)
        tried["frames"] += 1

    @rule(number=which, data=said.partial, reset=st.booleans())
    def breaks_off(self, number, data, reset):
        client = self._client(number)
        client.raw(data)
        client.drop(reset=reset)
        tried["frames"] += 1

    # ---- HTTP beside it

    @rule(endpoint=st.sampled_from(["client_secrets", "transcription_sessions", "sessions"]), body=said.bodies)
    def mints(self, endpoint, body):
        tried["requests"] += 1
        status, _, answer = self.server.request("POST", f"/v1/realtime/{endpoint}", body)
        if status != 200 or len(self.clients) >= MOST:
            return
        told = json.loads(answer)
        value = told["value"] if "value" in told else told["client_secret"]["value"]
        self.clients.append(Client(self.server, "/v1/realtime", key=value))
        tried["connections"] += 1

    @rule(
        fields=said.fields,
        file=said.files | said.broken_files,
        url=st.sampled_from(["/v1/audio/transcriptions", "/transcribe"]),
    )
    def uploads(self, fields, file, url):
        parts = [(f'name="{name}"', value.encode(errors="surrogatepass")) for name, value in fields]
        parts.append(('name="file"; filename="a.wav"', file))
        body = b"".join(
            f"--b\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + value + b"\r\n" for head, value in parts
        )
        self.server.request("POST", url, body + b"--b--\r\n", Content_Type="multipart/form-data; boundary=b")
        tried["requests"] += 1

    @rule(sdp=said.offered)
    def offers(self, sdp):
        body = sdp.encode(errors="surrogatepass")
        status, headers, _ = self.server.request("POST", "/v1/realtime/calls", body, Content_Type="application/sdp")
        if status == 201:
            assert self.server.request("POST", f"{headers['location']}/hangup")[0] == 200
        tried["requests"] += 1

    @rule(
        method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS"]),
        path=st.text(max_size=20),
        query=st.text(max_size=9),
    )
    def asks(self, method, path, query):
        target = f"/{quote(path, errors='surrogatepass')}?{quote(query, errors='surrogatepass')}"
        try:
            self.server.request(method, target)
        except HTTPException as error:
            raise AssertionError(f"{method} {target}: {error!r}") from error
        tried["requests"] += 1

    @rule(data=said.requests, at=st.integers(0, 4_000), more=st.binary(max_size=4), cut=st.booleans())
    def asks_what_is_wrong(self, data, at, more, cut):
        at %= len(data) + 1
        self.server.exchange(data[:at] + more + (b"" if cut else data[at:]))
        tried["requests"] += 1

    # ---- what must hold

    @rule(number=which, by_clear=st.booleans())
    def answers(self, number, by_clear):
        self._client(number).sync(self._event_id(), by_clear=by_clear)
        tried["frames"] += 1

    def teardown(self):
        try:
            for client in self.clients:
                if client.open:
                    client.sync(self._event_id())
                if client.open:
                    client.finish(self._event_id())
            if self.server.scripted:
                self._hears()
            self.server.check()
        finally:
            for client in self.clients:
                client.drop()

    def _hears(self):
        """A new session, after all that."""
        client = Client(self.server)
        try:
            client.say("input_audio_buffer.append", audio=base64(speech("alpha", "bravo")))
            client._until(lambda: client.ledger.events[-1]["type"] == COMPLETED, "a transcript")
            assert client.ledger.events[-1]["transcript"] == "alpha bravo"
        finally:
            client.drop()


def _sendable(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Ga(Machine):
    """The GA dialect alone."""


class Beta(Machine):
    """The beta dialect alone."""

    dialects = ("beta",)


class Mixed(Machine):
    """Both at once, on one server, and updates in either shape."""

    dialects = ("ga", "beta")


MACHINES = {"ga": Ga, "beta": Beta, "mixed": Mixed}
