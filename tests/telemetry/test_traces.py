"""Traces, at a collector of the test's own: what hangs on what, by whose variables, and nobody's words in them."""

import http.server
import os
import sys
import threading
from contextlib import contextmanager

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateways import until
from hark.telemetry import traces
from minting import BEARER, KEY
from serving import Server, speech
from uploading import SAID, post

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
VARIABLES = [name for name in os.environ if name.startswith("OTEL_")]


class Span:
    def __init__(self, span, resource):
        self.name, self.id, self.parent, self.trace = (
            span.name,
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.trace_id.hex(),
        )
        self.began, self.ended = span.start_time_unix_nano, span.end_time_unix_nano
        self.attributes = {each.key: plain(each.value) for each in span.attributes}
        self.events = [event.name for event in span.events]
        self.failed = span.status.code == 2
        self.resource = resource


def plain(value):
    return getattr(value, value.WhichOneof("value"))


class Collector:
    """Takes OTLP over HTTP, as protobuf."""

    def __init__(self):
        self.bodies, self.paths = [], []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                assert self.headers["content-type"] == "application/x-protobuf"
                collector.paths.append(self.path)
                collector.bodies.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def spans(self):
        found = []
        for body in self.bodies:
            for each in ExportTraceServiceRequest.FromString(body).resource_spans:
                resource = {attribute.key: plain(attribute.value) for attribute in each.resource.attributes}
                found += [Span(span, resource) for scope in each.scope_spans for span in scope.spans]
        return found

    def named(self, name):
        return [span for span in self.spans if span.name == name]

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name)
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    yield collector
    collector.stop()


@contextmanager
def serving(**options):
    server = Server(**options)
    try:
        yield server
    finally:
        server.stop()


def test_a_turn_its_stages_and_its_batches_hang_on_the_caller_s_span(collector):
    with serving() as server:
        with server.socket(additional_headers=TRACEPARENT) as wire:
            session_id = wire.receive()["session"]["id"]
            assert wire.hear("alpha", "bravo") == "alpha bravo"
            wire.ask("conversation.item.retrieve", item_id="item_none")
        until(lambda: collector.named("session"))
    assert set(collector.paths) == {"/v1/traces"}
    (handshake,) = collector.named("GET /v1/realtime")
    (session,), (turn,) = collector.named("session"), collector.named("turn")
    (speech,), (wait,), runs = collector.named("speech"), collector.named("wait"), collector.named("transcribe")
    assert {span.trace for span in collector.spans} == {TRACE}
    assert [handshake.parent, session.parent, turn.parent] == [PARENT, handshake.id, session.id]
    assert {span.parent for span in (speech, wait, *runs)} == {turn.id}
    assert turn.began == speech.began <= speech.ended == wait.began <= wait.ended == turn.ended
    assert handshake.attributes["http.response.status_code"] == 101
    ended = {"hark.close.code": 1000}
    assert session.attributes == {"session.id": session_id, "hark.transport": "websocket"} | ended
    assert session.events == ["refused"]
    assert turn.attributes["hark.item.id"].startswith("item_")
    assert turn.attributes["hark.audio.seconds"] > 0.4
    assert runs
    for run in runs:
        assert run.attributes["gen_ai.request.model"] == "scripted"
        assert run.attributes["hark.batch.size"] == 1
        assert run.attributes["hark.batch.seconds"] >= 0
        assert run.began <= run.ended <= turn.ended
    assert not any(span.failed for span in collector.spans)
    resource = session.resource
    assert (resource["service.name"], resource["hark.worker"]) == ("hark", 0)


def test_uploads_and_refusals_are_told_without_keys_words_or_addresses(collector):
    with serving(api_key=KEY) as server:
        assert post(server, headers=BEARER | TRACEPARENT).json()["text"] == SAID
        httpx.get(f"{server.url}/v1/models/my-secret-model?api-key={KEY}")
        httpx.get(f"{server.url}/health")
        httpx.get(f"{server.url}/metrics", headers=BEARER)
    (upload,) = collector.named("POST /v1/audio/transcriptions")
    (session,) = collector.named("session")
    (refused,) = collector.named("GET /v1/models/{name:path}")
    assert (upload.parent, session.parent) == (PARENT, upload.id)
    assert session.attributes["hark.transport"] == "upload"
    assert len(collector.named("turn")) == 2
    assert refused.attributes["http.response.status_code"] == 404
    assert refused.attributes["error.type"] == "model_not_found"
    assert not refused.failed, "a client's fault is none of the server's"
    assert not collector.named("GET /health") + collector.named("GET /metrics")
    for body in collector.bodies:
        for secret in (KEY, "alpha", "charlie", "my-secret-model"):
            assert secret.encode() not in body


def test_what_a_client_leaves_open_is_told_as_abandoned(collector):
    with serving(resume_seconds=0) as server:
        with server.session() as wire:
            wire.append(speech("alpha", "bravo", pause_s=0.0))
            wire.until("input_audio_buffer.speech_started")
        until(lambda: collector.named("session"))
    (turn,) = collector.named("turn")
    assert (turn.attributes["error.type"], turn.failed) == ("abandoned", True)


def test_names_are_the_operator_s(collector, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "speech")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
    with serving() as server:
        httpx.get(f"{server.url}/v1/models")
    (span,) = collector.spans
    assert span.resource["service.name"] == "speech"
    assert span.resource["deployment.environment.name"] == "staging"


# ---- whether there are any -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nobody_traces_who_was_not_asked_to(variables):
    assert traces.from_environment(variables) is None


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is 'zipkin'; expected 'otlp', 'console' or 'none'."),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'; expected 'http/protobuf'.",
        ),
    ],
)
def test_what_cannot_be_followed_is_said(variables, said, caplog):
    assert traces.from_environment(variables) is None
    assert caplog.messages == [f"traces are asked for and not sent: {said}"]


def test_without_the_packages_it_says_so_and_serves(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with serving() as server, server.session() as wire:
        assert wire.hear("alpha") == "alpha"
    (said,) = [message for message in caplog.messages if "traces" in message]
    assert said.startswith("traces are asked for and not sent: opentelemetry.sdk.resources is missing.")
    assert said.endswith("pip install 'hark[otel]'")


def test_a_collector_that_is_not_there_keeps_nobody_waiting(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with serving() as server, server.session() as wire:
        assert wire.hear("alpha") == "alpha"
