"""GET /metrics of real servers: in Prometheus' own format, of what clients did, and for holders of a key alone."""

import asyncio
import shutil
import subprocess

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from calling import Caller
from gateways import until
from minting import BEARER, KEY, mint, value
from serving import PATIENCE_S, Server
from uploading import SAID, post

CODE = "item_not_found"


@pytest.fixture(scope="module")
def server():
    """One whose counts no other test moves."""
    running = Server()
    yield running
    running.stop()


def scrape(server, **options):
    answer = httpx.get(f"{server.url}/metrics", **options)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Samples(answer.text)


class Samples:
    def __init__(self, text):
        self.text = text
        self.all = [each for family in text_string_to_metric_families(text) for each in family.samples]

    def value(self, name, **labels):
        """The sum of the series of this name and at least these labels."""
        return sum(s.value for s in self.all if s.name == name and labels.items() <= s.labels.items())


@pytest.mark.here
def test_a_session_its_turn_and_its_batches_are_counted(server):
    before = scrape(server)
    with server.session() as wire:
        assert wire.hear("alpha", "bravo") == "alpha bravo"
        assert wire.ask("conversation.item.retrieve", item_id="item_none")["error"]["code"] == CODE
        during = scrape(server)
    after = until(lambda: ended(server, before))

    def gained(name, now=after, **labels):
        return now.value(name, **labels) - before.value(name, **labels)

    assert gained("hark_sessions", during, transport="websocket") == 1
    assert gained("hark_sessions") == 0
    assert gained("hark_sessions_opened_total", transport="websocket", model="default") == 1
    assert gained("hark_sessions_ended_total", end="finished") == 1
    assert gained("hark_items_started_total", transport="websocket") == 1
    assert gained("hark_items_completed_total", transport="websocket") == 1
    assert gained("hark_transcript_wait_seconds_count", transport="websocket") == 1
    assert gained("hark_audio_seconds_total") == pytest.approx(0.85, abs=0.01)
    assert gained("hark_errors_total", where="session", code=CODE) == 1
    assert gained("hark_batch_size_sum", model="scripted") >= 1
    assert gained("hark_queue_seconds_count", model="scripted") == gained("hark_batch_size_count", model="scripted")
    assert gained("hark_batch_audio_seconds_total", model="scripted-vad") == pytest.approx(0.832)
    assert gained("hark_websocket_closes_total", code="left") == 1
    assert after.value("hark_model_loaded", model="scripted") == 1
    assert 0 < after.value("hark_admission_fullness_ratio", limit="final") < 1
    assert after.value("hark_tasks") > 0
    assert after.value("process_resident_memory_bytes", worker="0") > 1e6
    assert {each.labels["worker"] for each in after.all} == {"0"}


def ended(server, before):
    now = scrape(server)
    return now if now.value("hark_sessions_ended_total") > before.value("hark_sessions_ended_total") else None


def test_uploads_and_requests_count_by_their_route(server):
    before = scrape(server)
    assert post(server).json()["text"] == SAID
    for path in ("/v1/models/none-such", "/nothing/at/all"):
        assert httpx.get(server.url + path).status_code == 404
    assert httpx.request("PROPFIND", f"{server.url}/v1/models").status_code == 405
    after = scrape(server)

    def gained(name, **labels):
        return after.value(name, **labels) - before.value(name, **labels)

    assert gained("hark_http_requests_total", method="POST", route="/v1/audio/transcriptions", status="200") == 1
    assert gained("hark_http_requests_total", route="/v1/models/{name:path}", status="404") == 1
    assert gained("hark_http_requests_total", route="other", status="404") == 1
    assert gained("hark_http_requests_total", method="other", status="405") == 1
    assert gained("hark_errors_total", where="http", code="model_not_found") == 1
    assert gained("hark_errors_total", where="http", code="unknown_url") == 1
    assert gained("hark_sessions_ended_total", transport="upload", end="finished") == 1
    assert gained("hark_upload_realtime_factor_count") == 1
    assert gained("hark_transcript_wait_seconds_count") == 0
    assert after.value("hark_http_requests_in_progress") == 1  # this one
    assert "none-such" not in after.text
    assert "nothing/at" not in after.text


def test_a_call_counts_as_one(server):
    async def scenario():
        async with Caller(server.url) as caller:
            await caller.call()
            assert (await caller.receive())["type"] == "session.created"
            assert (await asyncio.to_thread(scrape, server)).value("hark_sessions", transport="webrtc") == 1

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))
    until(lambda: scrape(server).value("hark_sessions", transport="webrtc") == 0)


def test_who_is_turned_away_is_counted_by_what_there_was_too_little_of():
    server = Server(max_sessions=1)
    try:
        with server.session():
            with server.socket() as wire:
                assert wire.ending()[1] == 1013
            assert scrape(server).value("hark_admission_fullness_ratio", limit="sessions") == 2
        now = scrape(server)
        assert now.value("hark_sessions_refused_total", reason="sessions") == 1
        assert now.value("hark_errors_total", where="websocket", code="server_overloaded") == 1
        until(lambda: scrape(server).value("hark_websocket_closes_total", code="1013") == 1)
    finally:
        server.stop()


# ---- who may ask ---------------------------------------------------------------------------------------------------


def refused(server, **options):
    answer = httpx.get(f"{server.url}/metrics", **options)
    assert "hark_" not in answer.text
    return answer.status_code, answer.json()["error"]["code"]


def test_where_keys_are_set_one_is_asked_for(keyed):
    assert scrape(keyed, headers=BEARER).value("hark_info", model="scripted") == 1
    assert refused(keyed) == (401, None)
    assert refused(keyed, headers={"Authorization": "Bearer sk-other"}) == (401, "invalid_api_key")


def test_a_key_stands_in_the_header_and_nowhere_else(keyed):
    assert refused(keyed, headers={"api-key": KEY}) == (401, None)
    assert refused(keyed, params={"access_token": KEY}) == (401, None)
    assert refused(keyed, headers={"Authorization": f"Basic {KEY}"})[0] == 401


def test_a_client_secret_reads_no_metrics(keyed):
    secret = value(mint(keyed))
    assert refused(keyed, headers={"Authorization": f"Bearer {secret}"}) == (401, "invalid_api_key")
    both = {"Authorization": f"Bearer {secret}", "api-key": KEY}
    assert refused(keyed, headers=both) == (401, "invalid_api_key")


def test_pages_from_elsewhere_read_none_without_keys(server):
    assert refused(server, headers={"Origin": "https://elsewhere.example"}) == (401, "origin_not_allowed")
    assert scrape(server, headers={"Origin": "http://localhost:3000"}).all


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt install prometheus")
def test_promtool_has_nothing_to_say(server):
    with server.session() as wire:
        wire.hear("alpha")
    text = scrape(server).text
    run = subprocess.run(["promtool", "check", "metrics"], input=text, check=False, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
