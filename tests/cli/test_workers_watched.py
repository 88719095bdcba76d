"""Several gateways, watched from outside: one scrape for all of them, one that is stopped left out, JSON from each."""

import json
import os
import re
import signal
from contextlib import ExitStack

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateways import LINUX, Gateways, until
from hark.auth.keys import create_key

pytestmark = pytest.mark.skipif(not LINUX, reason="processes are looked at in /proc")


@pytest.fixture
def gateways(tmp_path):
    server = Gateways(tmp_path, "--log-format", "json", workers=3)
    yield server
    server.kill()


def scrape(server, **options):
    answer = httpx.get(f"{server.url}/metrics", timeout=10, **options)
    assert answer.status_code == 200, answer.text
    families = list(text_string_to_metric_families(answer.text))
    assert len({family.name for family in families}) == len(families), "each family once"
    return [each for family in families for each in family.samples]


def by_worker(samples, name, **labels):
    found = {}
    for each in samples:
        if each.name == name and labels.items() <= each.labels.items():
            found[each.labels["worker"]] = found.get(each.labels["worker"], 0) + each.value
    return found


def test_whichever_is_asked_answers_for_all(gateways):
    with ExitStack() as stack:
        wires = [stack.enter_context(gateways.session()) for _ in range(6)]
        assert [wire.hear("alpha") for wire in wires] == ["alpha"] * 6
        for _ in range(3):  # connections go round
            samples = scrape(gateways)
            assert by_worker(samples, "hark_sessions", transport="websocket") == {"0": 2, "1": 2, "2": 2}
            assert by_worker(samples, "hark_items_completed_total", transport="websocket") == {"0": 2, "1": 2, "2": 2}
            assert by_worker(samples, "hark_scrape_misses_total") == {"0": 0, "1": 0, "2": 0}
    assert len(set(by_worker(scrape(gateways), "process_start_time_seconds"))) == 3


def test_one_that_does_not_answer_is_left_out_and_counted(gateways):
    stopped = gateways.pids[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        with httpx.Client(base_url=gateways.url, timeout=10) as client:
            while True:  # until this client is given to one that runs
                try:
                    answer = client.get("/metrics", timeout=5)
                    break
                except httpx.TimeoutException:
                    continue
        there = {
            each.labels["worker"]
            for family in text_string_to_metric_families(answer.text)
            for each in family.samples
            if each.name == "hark_tasks"
        }
        assert len(there) == 2
        assert "hark_scrape_misses_total" in answer.text
    finally:
        os.kill(stopped, signal.SIGCONT)
    missed = until(lambda: sum(by_worker(scrape(gateways), "hark_scrape_misses_total").values()))
    assert missed >= 1


def test_with_keys_the_others_answer_for_the_one_that_has_seen_the_key(gateways):
    key = create_key(gateways.data, "watcher", 0)
    assert httpx.get(f"{gateways.url}/metrics").status_code == 401
    samples = scrape(gateways, headers={"Authorization": f"Bearer {key}"})
    assert by_worker(samples, "hark_tasks").keys() == {"0", "1", "2"}


def test_every_line_of_every_process_is_json_and_says_whose_it_is(gateways):
    with gateways.session() as wire:
        session_id = wire.created["session"]["id"]
        wire.hear("alpha")
    answer = httpx.get(f"{gateways.url}/v1/models")
    until(lambda: f"{session_id} closed" in gateways.log)
    until(lambda: answer.headers["x-request-id"] in gateways.log)
    gateways.stop()
    lines = [json.loads(line) for line in gateways.log.splitlines()]
    assert {line["gateway"] for line in lines if line.get("session_id") == session_id} <= {0, 1, 2}
    (request,) = [line for line in lines if line.get("request_id") == answer.headers["x-request-id"]]
    assert request["message"].startswith("GET /v1/models: 200 in ")
    opened, closed = [line for line in lines if line.get("session_id") == session_id]
    assert opened["message"].startswith(f"{session_id} opened: ga transcription by anonymous (req_")
    assert opened["request_id"] == closed["request_id"]
    assert re.fullmatch(rf"{session_id} closed: 1000, \d+\.\d s of audio in \d+\.\d s", closed["message"])
