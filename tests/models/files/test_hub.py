"""Pulling from a hub that stands on this machine: what goes right, and each thing that goes wrong."""

import errno
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from toy_files import CONTENT, REPO, TOY, WEIGHTS, content, entry, fetch, manifest, parts

from hark.errors import OperatorError
from hark.models.files import hub_http
from hark.models.files.pull import missing

pytestmark = pytest.mark.usefixtures("environment")


def test_all_files_come_and_are_written_down(hub, folder):
    assert missing([TOY.name], folder) == [TOY.name]
    seen = []
    pulled = fetch(folder, progress=lambda *step: seen.append(step))
    assert content(folder) == CONTENT
    assert [(item.member.path, item.origin) for item in pulled] == [
        ("toy-hub/config.json", hub.url.removeprefix("http://")),
        ("toy-hub/model.bin", hub.url.removeprefix("http://")),
    ]
    size = len(WEIGHTS)
    steps = [step for step in seen if step[0] == "toy-hub/model.bin"]
    assert (steps[0], steps[-1]) == (("toy-hub/model.bin", 0, size), ("toy-hub/model.bin", size, size))
    written = manifest(folder)
    assert written["files"]["model.bin"]["sha256"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert (written["commit"], written["absent"]) == (hub.commit, ["preprocessor.json"])
    assert missing([TOY.name], folder) == []


def test_what_is_there_is_not_asked_for_again(hub, folder):
    fetch(folder)
    hub.seen.clear()
    assert {item.origin for item in fetch(folder)} == {"cache"}
    assert hub.seen == []


def test_an_optional_file_comes_where_there_is_one(hub, folder):
    hub.repos[REPO]["preprocessor.json"] = b"{}"
    fetch(folder)
    assert content(folder)["preprocessor.json"] == b"{}"
    assert manifest(folder)["absent"] == []


def test_the_token_goes_to_the_hub_alone(hub, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.token = "hf_secret"
    fetch(folder)
    assert {seen.token for seen in hub.seen if seen.where == "hub"} == {"Bearer hf_secret"}
    stored = [seen for seen in hub.seen if seen.where == "store"]
    assert stored
    assert {seen.token for seen in stored} == {None}


def test_a_redirect_to_an_unsafe_place_is_not_followed():
    redirects, asked = hub_http._Redirects(), hub_http.urllib.request.Request("https://hub.test/file")
    with pytest.raises(hub_http.SourceError, match="not safe"):
        redirects.redirect_request(asked, None, 302, "", {"X-Linked-Size": None}, "http://hub.test/file")


def test_files_of_one_pull_are_of_one_commit(hub, folder):
    fetch(folder)
    asked = [seen.path.split("/")[4] for seen in hub.seen if seen.where == "hub"]
    assert asked[0] == "main"
    assert set(asked[2:]) == {hub.commit}


def test_a_broken_connection_goes_on_where_it_broke(hub, folder):
    hub.cut["model.bin"] = 300_000
    fetch(folder)
    assert content(folder) == CONTENT
    assert [seen.range for seen in hub.gets("model.bin")] == [None, "bytes=300000-"]


def test_a_hub_that_falls_silent_is_asked_again_for_as_long_as_something_comes(hub, folder, monkeypatch):
    monkeypatch.setattr(hub_http, "SILENT_S", 0.1)
    hub.hold["model.bin"] = 200_000  # of each answer
    fetch(folder)
    assert content(folder) == CONTENT
    assert [seen.range for seen in hub.gets("model.bin")] == [
        None,
        *(f"bytes={done}-" for done in range(200_000, len(WEIGHTS), 200_000)),
    ]


def test_a_store_without_ranges_begins_anew(hub, folder):
    hub.cut["model.bin"], hub.ranges = 300_000, False
    fetch(folder)
    assert content(folder) == CONTENT


def test_a_pull_that_was_ended_is_gone_on_with_by_the_next_process(hub, folder):
    hub.cut["model.bin"] = 300_000
    command = (
        "import sys\nfrom hark.models.files import hub_http, hub_table\nfrom hark.models.files.pull import pull\n"
        "from hark.models.files.hub_table import HubFiles\nfrom pathlib import Path\n"
        "import time\ntime.sleep = lambda s: (print('waits', flush=True), sys.stdin.read())\n"
        f"hub_table.HUB_FILES['toy-hub'] = HubFiles('toy-hub', '', 'MIT', {REPO!r}, ('model.bin',), 1)\n"
        f"pull(['toy-hub'], Path({str(folder)!r}), progress=lambda *_: None)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "waits\n"  # the connection has broken, and it is about to try again
        process.send_signal(signal.SIGKILL)
    (part,) = parts(folder)
    assert part.stat().st_size == 300_000
    assert missing([TOY.name], folder) == [TOY.name]
    hub.seen.clear()
    fetch(folder)
    assert content(folder) == CONTENT
    assert [seen.range for seen in hub.gets("model.bin")] == ["bytes=300000-"]
    assert parts(folder) == []


def test_a_part_of_another_version_is_of_no_use(hub, folder):
    hub.cut["model.bin"] = 300_000
    hub.repos[REPO]["model.bin"] = WEIGHTS[::-1]

    def progress(what, done, total):
        if done == 300_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(folder, progress=progress)
    assert len(parts(folder)) == 1
    hub.repos[REPO]["model.bin"] = WEIGHTS
    hub.seen.clear()
    fetch(folder)
    assert [seen.range for seen in hub.gets("model.bin")] == [None]
    assert content(folder) == CONTENT
    assert parts(folder) == []


@pytest.mark.parametrize("file", ["model.bin", "config.json"])
def test_wrong_content_is_refused_and_nothing_stays(hub, folder, file):
    hub.lies[file] = b"x" * len(CONTENT[file])
    with pytest.raises(OperatorError, match=rf"Cannot get toy-hub/{file}\. Tried: .* has .*SHA-.*, expected"):
        fetch(folder)
    assert file not in content(folder)
    assert parts(folder) == []
    del hub.lies[file]
    fetch(folder)
    assert content(folder) == CONTENT


def test_a_pin_is_held_to_whatever_the_hub_says(hub, folder, monkeypatch):
    entry(monkeypatch, pins={"model.bin": "0" * 64})
    with pytest.raises(OperatorError, match=r"has model\.bin with SHA-256 .*, expected 0000"):
        fetch(folder)
    assert hub.gets("model.bin") == []  # a gigabyte is not fetched to be thrown away
    entry(monkeypatch, pins={"config.json": "0" * 64})
    shutil.rmtree(folder)
    with pytest.raises(OperatorError, match=r"config\.json has SHA-256 .*, expected 0000"):
        fetch(folder)


def test_a_changed_pin_makes_what_was_pulled_unfit(hub, folder, monkeypatch):
    fetch(folder)
    entry(monkeypatch, pins={"config.json": "0" * 64})
    assert missing([TOY.name], folder) == [TOY.name]


def test_damage_is_noticed_and_mended(hub, folder):
    fetch(folder)
    weights = folder / TOY.name / "model.bin"
    weights.write_bytes(b"W" + WEIGHTS[1:])
    assert missing([TOY.name], folder) == [TOY.name]
    pulled = fetch(folder)
    assert [(item.member.path, item.damaged) for item in pulled] == [
        ("toy-hub/config.json", False),
        ("toy-hub/model.bin", True),
    ]
    assert content(folder) == CONTENT


def test_damage_that_kept_size_and_time_is_found_by_a_pull(hub, folder):
    fetch(folder)
    weights = folder / TOY.name / "model.bin"
    before = weights.stat()
    weights.write_bytes(b"W" + WEIGHTS[1:])
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert missing([TOY.name], folder) == []  # a gigabyte is not read at each start
    assert [item.damaged for item in fetch(folder)] == [False, True]


def test_what_was_pulled_first_is_held_to(hub, folder):
    fetch(folder)
    hub.repos[REPO]["model.bin"] = WEIGHTS[::-1]  # of the same commit, which cannot be
    (folder / TOY.name / "model.bin").unlink()
    with pytest.raises(OperatorError, match=r"it has model\.bin with SHA-256 .*, expected"):
        fetch(folder)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, r"asks for a token, or has no such repository\. Set HF_TOKEN to a token that may read it \(401\)"),
        (403, r"does not let HF_TOKEN's owner read it\. .*/somebody/whisper-toy \(403\)"),
        (404, r"somebody/whisper-toy has no file model\.bin \(404\)"),
        (418, r"answers .* \(418\)"),
    ],
)
def test_a_refusal_is_explained_and_not_repeated(hub, folder, status, told):
    hub.statuses["model.bin"] = [status] * 9
    with pytest.raises(OperatorError, match=told):
        fetch(folder)
    assert len(hub.statuses["model.bin"]) == 8


def test_a_wrong_token_and_no_repository_are_told_apart(hub, folder, monkeypatch):
    hub.token = "right"
    monkeypatch.setenv("HF_TOKEN", "wrong")
    with pytest.raises(OperatorError, match=r"takes the token of HF_TOKEN for a wrong one"):
        fetch(folder)
    hub.token = None
    entry(monkeypatch, revision="v9")
    with pytest.raises(OperatorError, match=r"has no such repository, or not this revision of it \(404\)"):
        fetch(folder)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (429, r"has had too many requests from here\. Wait 30 s, or set HF_TOKEN"),
        (500, r"has trouble of its own\. Try again later \(500\)"),
        (503, r"has trouble of its own"),
    ],
)
def test_what_may_pass_is_waited_for(hub, folder, monkeypatch, status, told):
    waits = []
    monkeypatch.setattr(hub_http.time, "sleep", waits.append)
    hub.statuses["model.bin"] = [status] * 2
    fetch(folder)
    assert content(folder) == CONTENT
    assert waits == [0, 0]
    shutil.rmtree(folder)
    hub.statuses["model.bin"], hub.retry_after = [status] * 9, "30"
    with pytest.raises(OperatorError, match=told):
        fetch(folder)
    assert waits[2:] == [30, 30]


def test_no_connection_names_the_way_without_one(hub, folder, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    with pytest.raises(OperatorError) as caught:
        fetch(folder)
    message = caught.value.message
    assert f"127.0.0.1:{port}: no connection to it holds ([Errno {errno.ECONNREFUSED}]" in message
    assert f"a clone of {REPO}, into a folder DIR" in message
    assert "`hark pull toy-hub --from DIR`" in message


def test_offline_makes_no_connection(hub, folder, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        OperatorError, match=r"HF_HUB_OFFLINE is set, so no connection is made\. Without a network: put"
    ):
        fetch(folder)
    assert hub.seen == []


@pytest.mark.parametrize("endpoint", ["huggingface.co", "file:///etc", "https://"])
def test_an_endpoint_that_is_no_url_is_refused(folder, monkeypatch, endpoint):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(OperatorError, match=rf"HF_ENDPOINT: expected a URL such as https.*; got '{endpoint}'"):
        fetch(folder)


def test_a_password_in_the_endpoint_is_told_to_nobody(hub, folder, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://somebody:secret@127.0.0.1:9")
    with pytest.raises(OperatorError) as caught:
        fetch(folder)
    assert "secret" not in caught.value.message


def test_a_file_that_somebody_put_there_is_taken_if_it_is_right(hub, folder):
    (folder / TOY.name).mkdir(parents=True)
    (folder / TOY.name / "model.bin").write_bytes(WEIGHTS)
    assert missing([TOY.name], folder) == [TOY.name]
    fetch(folder)
    assert hub.gets("model.bin") == []
    assert missing([TOY.name], folder) == []


def test_a_hub_that_says_no_size_is_believed_by_the_checksum(hub, folder):
    hub.chunked = True
    fetch(folder)
    assert content(folder) == CONTENT
