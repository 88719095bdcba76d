"""The engine that asks another Realtime server: Hark itself, what OpenAI's does otherwise, and what goes wrong."""

import json
import logging
import re
import threading
import time

import numpy as np
import pytest
from engine_suite import EngineSuite, Subject
from msgspec import structs
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve as serve_sockets

from hark.errors import ModelError
from hark.models.base import LoadOptions, Utterance
from hark.models.scripted import WORD_SAMPLES, amplitude
from hark.models.upstream import engine as upstream

KEY = "sk-upstream-0123456789"


def spoken(*words):
    loud = [np.full(WORD_SAMPLES, amplitude(word), np.float32) for word in words]
    return np.concatenate([np.zeros(4_800, np.float32), *loud, np.zeros(4_800, np.float32)])


def at(server):
    return f"ws{server.url.removeprefix('http')}/v1/realtime?intent=transcription"


@pytest.fixture
def engine(tmp_path):
    made = []

    def make(url, **options):
        told = {"upstream": url, "upstream_key": KEY} | {f"upstream_{name}": v for name, v in options.items()}
        made.append(upstream.Upstream(LoadOptions(tmp_path, options=told)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def hear(engine, *words, **hints):
    return engine.transcribe([Utterance(spoken(*words), **hints)])[0]


def logged(caplog):
    """By our side: a stand-in writes down what it was sent."""
    return "".join(r.getMessage() for r in caplog.records if r.name.startswith(("hark.", "websockets.client")))


class TestOfHark(EngineSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, serve, tmp_path_factory):
        (model,) = upstream.plugin()
        model = structs.replace(model, spec=structs.replace(model.spec, traits=("logprobs", "words")))
        options = LoadOptions(tmp_path_factory.mktemp("models"), options={"upstream": at(serve())})
        return Subject(model, options, [spoken("alpha"), spoken("bravo", "charlie"), spoken("delta", "echo", "alpha")])


def test_times_count_from_the_start_of_each_utterance(server, engine):
    ear = engine(at(server))
    for _ in range(3):
        heard = hear(ear, "alpha", "bravo")
        assert [token.text for token in heard.tokens] == [" alpha", " bravo"]
        starts = [token.start for token in heard.tokens]
        assert starts == pytest.approx([4_800, 8_000], abs=40)


def test_openai_takes_no_rate_below_24_000(today, engine, caplog):
    ear = engine(at(today), key=today.key, model="gpt-4o-transcribe")
    for _ in range(2):
        assert hear(ear, "alpha").text == "open the north gate"


def test_a_key_that_openai_refuses_after_the_handshake(today, engine, caplog):
    with caplog.at_level(logging.DEBUG), pytest.raises(ModelError, match=r"refused and said: .*API key") as caught:
        hear(engine(at(today), key="sk-wrong-0123456789"), "alpha")
    assert caught.value.lasting
    assert "sk-wrong-0123456789" not in logged(caplog) + caught.value.message


def test_a_key_that_hark_refuses_after_the_handshake(serve, engine):
    with pytest.raises(ModelError, match="refused and said: ") as caught:
        hear(engine(at(serve(api_key="sk-one-two-three"))), "alpha")
    assert caught.value.lasting


# ---- what goes wrong, with a stand-in that does as a test says


class StandIn:
    """Says `text` of every utterance; `mishaps`: what is done with the next commits instead."""

    text = "Alpha."

    def __init__(self):
        self.events, self.mishaps, self.sockets = [], [], 0
        self._server = serve_sockets(self._talk, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()

    def _talk(self, socket):
        self.sockets += 1

        def say(kind, **fields):
            socket.send(json.dumps({"type": kind, "event_id": "e", **fields}))

        try:
            say("session.created")
            for frame in socket:
                event = json.loads(frame)
                self.events.append(event)
                match event["type"]:
                    case "session.update":
                        say("session.updated")
                    case "conversation.item.delete":
                        say("error", error={"message": "What?", "event_id": event["event_id"]})
                    case "input_audio_buffer.commit":
                        say("input_audio_buffer.committed", item_id=f"item_{len(self.events)}")
                        mishap = self.mishaps.pop(0) if self.mishaps else completed
                        mishap(self, socket, say, f"item_{len(self.events)}")
        except ConnectionClosed:
            pass


def completed(server, socket, say, item_id):
    kind = "conversation.item.input_audio_transcription.completed"
    say(kind, item_id="item_of_somebody_else", transcript="no")
    say(kind, item_id=item_id, transcript=server.text)


def failed(kind):
    def fail(server, socket, say, item_id):
        fault = {"type": kind, "message": f"It did not go, {KEY}."}
        say("conversation.item.input_audio_transcription.failed", item_id=item_id, error=fault)

    return fail


def then_closed(server, socket, say, item_id):
    completed(server, socket, say, item_id)
    socket.close(1001)


def torn(server, socket, say, item_id):
    socket.socket.close()


def silent(server, socket, say, item_id):
    pass


def garbled(server, socket, say, item_id):
    socket.send("[1]")


def odd(server, socket, say, item_id):
    """Its text is there; what else there is has another shape than OpenAI's."""
    say("rate_limits.updated", item_id=None, words=None)
    kind = "conversation.item.input_audio_transcription.completed"
    say(kind, item_id=item_id, transcript=server.text, words=None, logprobs=[{"piece": 1}], languages=None)


def then_astray(server, socket, say, item_id):
    """An error that does not say what it is about comes behind the transcript."""
    completed(server, socket, say, item_id)
    say("error", error={"message": "No such event."})


@pytest.fixture
def stand_in():
    server = StandIn()
    yield server
    server.stop()


def test_one_socket_is_kept_and_told_only_what_is_new(stand_in, engine):
    ear = engine(stand_in.url, model="gpt-transcribe")
    hear(ear, "alpha")
    hear(ear, "alpha")
    hear(ear, "alpha", language="de", keywords=("Hark",))
    assert stand_in.sockets == 1
    told = [e["session"]["audio"]["input"] for e in stand_in.events if e["type"] == "session.update"]
    assert [each["transcription"] for each in told] == [
        {"model": "gpt-transcribe"},
        {"model": "gpt-transcribe", "language": "de", "keywords": ["Hark"]},
    ]
    assert {each["turn_detection"] for each in told} == {None}
    kinds = [event["type"] for event in stand_in.events]
    assert kinds.count("conversation.item.delete") >= 2  # the last may be on its way


@pytest.mark.parametrize("mishap", [torn, failed("server_error"), silent], ids=["torn", "failed", "silent"])
def test_what_may_pass_is_asked_again(stand_in, engine, mishap):
    stand_in.mishaps = [mishap]
    ear = engine(stand_in.url, timeout_s=2)
    if mishap is silent:
        with pytest.raises(ModelError, match="did not answer within 2 s"):
            hear(ear, "alpha")
    assert hear(ear, "alpha").text == "Alpha."


def test_a_socket_that_was_closed_while_idle_is_replaced(stand_in, engine):
    stand_in.mishaps = [then_closed]
    ear = engine(stand_in.url)
    for _ in range(2):
        assert hear(ear, "alpha", final=False).text == "Alpha."
    assert stand_in.sockets == 2


def test_a_failure_that_lasts_is_told_and_the_socket_kept(stand_in, engine, caplog):
    stand_in.mishaps = [failed("invalid_request_error")]
    ear = engine(stand_in.url)
    with caplog.at_level(logging.DEBUG), pytest.raises(ModelError, match=r"It did not go, \*\*\*\.$") as caught:
        hear(ear, "alpha")
    assert caught.value.lasting
    assert KEY not in logged(caplog)
    assert "It did not go" in logged(caplog)
    assert hear(ear, "alpha").text == "Alpha."
    assert stand_in.sockets == 1


def test_an_error_about_the_utterance_before_costs_the_next_one_a_socket_alone(stand_in, engine):
    stand_in.mishaps = [then_astray] * 5  # more than are heard: some commits arrive behind a close, or do not
    ear = engine(stand_in.url)
    for _ in range(3):
        assert hear(ear, "alpha", final=False).text == "Alpha."
    assert stand_in.sockets == 3


def test_details_of_another_shape_cost_no_text(stand_in, engine):
    stand_in.mishaps = [odd]
    ear = engine(stand_in.url)
    assert [hear(ear, "alpha", final=False).text for _ in range(2)] == ["Alpha.", "Alpha."]
    assert stand_in.sockets == 1


def test_a_redirect_is_not_followed(stand_in, engine):
    asked = []

    def elsewhere(connection, request):
        asked.append(request.path)
        answer = connection.respond(307, "")
        answer.headers["Location"] = f"{stand_in.url}/realtime"
        return answer

    with serve_sockets(lambda socket: None, "127.0.0.1", 0, process_request=elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/v1"
        with pytest.raises(ModelError, match="it is elsewhere, and Hark follows no redirects") as caught:
            hear(engine(url, timeout_s=5), "alpha")
        server.shutdown()
    assert caught.value.lasting
    assert (len(asked), stand_in.sockets) == (1, 0)
    assert "127.0.0.1" not in caught.value.message


def test_what_is_no_event_is_told(stand_in, engine):
    stand_in.mishaps = [garbled]
    with pytest.raises(ModelError, match="answered with what is no event of the Realtime API"):
        hear(engine(stand_in.url), "alpha")


@pytest.mark.parametrize("path", ["/nothing", "/v1/models"])
def test_an_address_without_a_websocket(server, engine, path):
    with pytest.raises(ModelError, match=r"HTTP \d+|could not be made|refused and said") as caught:
        hear(engine(f"ws{server.url.removeprefix('http')}{path}", timeout_s=2), "alpha")
    assert not re.search("127.0.0.1", caught.value.message)


def test_a_server_that_takes_in_nothing_does_not_hold_a_thread(engine):
    """The deadline holds for what is sent, too."""

    def handle(socket):
        socket.send('{"type": "session.created"}')
        socket.recv()
        socket.send('{"type": "session.updated"}')
        ended.wait(30)

    ended = threading.Event()
    server = serve_sockets(handle, "127.0.0.1", 0, max_queue=1)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ear = engine(f"ws://127.0.0.1:{server.socket.getsockname()[1]}", timeout_s=1)
    began = time.monotonic()
    with pytest.raises(ModelError, match="did not answer within 1 s"):
        ear.transcribe([Utterance(np.zeros(16_000 * 600, np.float32))])
    assert time.monotonic() - began < 10
    ended.set()
    server.shutdown()
