"""The panels of events and of code. Code that is shown is run, as it stands."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from listening import BECKETT, error_rate, turns_of
from served import Served

PACKAGES = Path(__file__).parent / "node" / "node_modules"
KEY = "sk-browser-0123456789"


def check_words(text, most=0.25):
    assert error_rate(BECKETT, turns_of([{"item_id": "item", "transcript": text}])) <= most, text


# ---- events --------------------------------------------------------------------------------------------------------


def test_events_of_both_directions_can_be_filtered_paused_and_copied(open_page, short):
    screen = open_page(short).start()
    screen.wait_for_turns(2)
    screen.stop()
    screen.open("events")
    screen.listed("session.created", 1)
    screen.listed("input_audio_buffer.speech_started", 2)
    screen.listed("input_audio_buffer.append", 0)
    screen["#event-noise"].check()
    expect(screen["#event-list .sent"].filter(has_text="input_audio_buffer.append").first).to_be_visible()
    expect(screen["#event-list .got"].filter(has_text="hark.voice_activity").first).to_be_visible()
    screen["#event-filter"].fill("SPEECH_st")
    rows = screen["#event-list li"]
    expect(rows).to_have_count(4)
    rows.first.locator("summary").click()
    expect(rows.first.locator("pre")).to_contain_text("audio_start_ms")
    shown = json.loads(rows.first.locator("pre").inner_text())
    assert shown["type"] == "input_audio_buffer.speech_started"
    screen["#event-copy"].click()
    expect(screen["#event-copy"]).to_have_text("Copied")
    copied = [json.loads(line) for line in screen.page.evaluate("navigator.clipboard.readText()").splitlines()]
    assert [entry["event"]["type"].rpartition(".")[2] for entry in copied] == ["speech_started", "speech_stopped"] * 2
    assert copied[0]["event"] == shown
    assert {entry["direction"] for entry in copied} == {"got"}
    screen["#event-filter"].fill("")
    screen["#event-noise"].uncheck()
    screen["#event-pause"].click()
    expect(screen["#event-count"]).to_contain_text("paused")
    before = rows.count()
    screen.start()
    assert rows.count() == before
    screen["#event-pause"].click()
    screen.listed("session.created", 2)
    screen["#event-clear"].click()
    expect(rows).to_have_count(0)
    screen.stop()


def test_audio_is_listed_by_its_size(open_page, short):
    screen = open_page(short).start()
    screen.open("events")
    screen["#event-noise"].check()
    screen["#event-filter"].fill("append")
    row = screen["#event-list li.sent"].first
    expect(row).to_contain_text("characters of base64")
    screen.stop()


# ---- code ----------------------------------------------------------------------------------------------------------


def code(screen, language):
    screen.choose(f"^{language}$")
    expect(screen["#code-text"]).not_to_be_empty()
    return screen["#code-text"].inner_text()


def run(command, folder, **variables):
    given = {name: value for name, value in os.environ.items() if not name.startswith("HARK_")} | variables
    ended = subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


MODES = {"server_vad": "server_vad", "when you say so": "null"}


@pytest.fixture(params=[("server_vad", False), ("when you say so", True)], ids=["vad-open", "manual-keyed"])
def snippets(request, open_page):
    """The screen with its panel of code, and the variables that the code needs."""
    mode, keyed = request.param
    screen = open_page(options={"api_key": KEY} if keyed else {})
    if keyed:
        screen.button("Enter key").click()
        screen.page.get_by_label("API key").fill(KEY)
        screen.button("Use this key").click()
    expect(screen.page.get_by_label("Model")).to_be_enabled()
    screen.choose(mode)
    screen.page.get_by_label("Language", exact=True).select_option("en")
    screen.open("code")
    return screen, {"HARK_API_KEY": KEY} if keyed else {}


def test_the_code_for_python(snippets, beckett, tmp_path):
    screen, key = snippets
    (tmp_path / "live.py").write_text(code(screen, "Python"))
    assert KEY not in code(screen, "Python")
    check_words(run([sys.executable, "live.py", beckett], tmp_path, **key))


def test_the_code_for_node(snippets, beckett, tmp_path):
    assert PACKAGES.is_dir(), "The packages are not there: run make test-browser."
    screen, key = snippets
    (tmp_path / "live.mjs").write_text(code(screen, "Node"))
    (tmp_path / "node_modules").symlink_to(PACKAGES)
    check_words(run([shutil.which("node"), "live.mjs", beckett], tmp_path, **key))


def test_the_code_for_curl(snippets, beckett, tmp_path):
    screen, key = snippets
    mint, upload = code(screen, "curl").strip().split("\n\n")
    minted = json.loads(run(["sh", "-c", f"{mint} -s"], tmp_path, **key))
    assert minted["value"].startswith("ek_")
    assert minted["session"]["audio"]["input"]["transcription"]["language"] == "en"
    told = run(["sh", "-c", f"{upload.replace('FILE', str(beckett))} -s"], tmp_path, **key)
    frames = [json.loads(line.removeprefix("data: ")) for line in told.split("\n\n") if line.startswith("data: {")]
    assert frames[-1]["type"] == "transcript.text.done"
    check_words(frames[-1]["text"])


@pytest.mark.parametrize("mode", list(MODES))
def test_the_code_for_a_browser(open_page, short, transport, mode, tmp_path):
    """A page of its own, at another origin of this machine, which mints for itself as no key is set."""
    screen = open_page()
    screen.choose(mode)
    screen.choose("WebRTC" if transport == "webrtc" else "WebSocket")
    screen.open("code")
    (tmp_path / "index.html").write_text(code(screen, "Browser"))
    with Served(tmp_path) as url:
        other = open_page(short, url=url)
        other.excused = ["favicon", "status of 404"]
        other.button("Start").click()
        expect(other["#text"]).to_contain_text("failed", timeout=30_000)
        if mode == "when you say so":
            other.button("End the turn").click()
        expect(other["#text br"]).not_to_have_count(0, timeout=30_000)
        # The microphone plays from when it is opened, which may be a moment before anybody listens to its first word.
        assert "tried" in other["#text"].inner_text().lower()
