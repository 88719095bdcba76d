"""OpenAI's clients for browsers, unmodified, as npm has them: each calls over WebRTC from a page at another origin.

Rule: they run with an ephemeral key that the server minted, and what is looked at is what they tell their page.
"""

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from listening import BECKETT, error_rate, turns_of
from screen import PATIENCE_MS, REAL

FOLDER = Path(__file__).parent
PACKAGES = FOLDER / "node" / "node_modules"
KEY = "sk-browser-0123456789"
INPUT = "input_audio_buffer"
COMPLETED = "conversation.item.input_audio_transcription.completed"


@pytest.fixture
def client(abroad, serve, event_logs):
    """Gives a Screen on this page, beside the packages, with a secret of a session of this type."""
    assert PACKAGES.is_dir(), "The packages are not there: run make test-browser."
    server = serve(**REAL, api_key=KEY, event_log=event_logs)

    def opened(page, kind, **given):
        headers = {"Authorization": f"Bearer {KEY}"}
        minted = httpx.post(
            f"{server.url}/v1/realtime/client_secrets", json={"session": {"type": kind}}, headers=headers
        )
        text = (FOLDER / "pages" / page).read_text("utf-8")
        for name, value in {"server": server.url, "secret": minted.json()["value"], **given}.items():
            text = text.replace(f"{{{name}}}", value)
        return abroad(text)

    return opened


def check_words(texts):
    assert error_rate(BECKETT, turns_of([{"item_id": "item", "transcript": " ".join(texts)}])) <= 0.25, texts


@pytest.mark.client("@openai/agents-realtime", "WebRTC", "`RealtimeSession` in Chromium", where=PACKAGES)
def test_the_agents_sdk(client):
    screen = client("agents_sdk.html", "realtime")
    screen.button("Connect").click()
    expect(screen["#call"]).to_have_text(re.compile(r"^rtc_\w+$"))
    expect(screen["#status"]).to_have_text("connected")
    expect(screen["#history"]).to_contain_text(re.compile("better", re.IGNORECASE), timeout=PATIENCE_MS)
    turns = screen["#history li"].all_inner_texts()
    assert all(turn.startswith("user: ") for turn in turns)
    check_words(turn.removeprefix("user: ") for turn in turns)
    events = screen["#events li"].all_inner_texts()
    assert [event for event in events if "not understood" in event] == []
    expected = {"session.created", "session.updated", f"{INPUT}.speech_started", f"{INPUT}.committed", COMPLETED}
    assert expected | {"conversation.item.retrieved"} <= set(events)
    expect(screen["#error"]).to_be_empty()
    screen.button("Close").click()
    expect(screen["#status"]).to_have_text("disconnected")


@pytest.mark.client("openai", "WebRTC", "Node SDK: its WebRTC helper in Chromium", where=PACKAGES)
@pytest.mark.parametrize("exchange", ["sdk", "fetch"])
def test_the_webrtc_helper_of_the_sdk(client, exchange):
    screen = client("openai_sdk.html", "transcription", exchange=exchange)
    screen.button("Connect").click()
    expect(screen["#status"]).to_have_text("connected")
    expect(screen["#transcripts"]).to_contain_text(re.compile("better", re.IGNORECASE), timeout=PATIENCE_MS)
    check_words(screen["#transcripts li"].all_inner_texts())
    events = screen["#events li"].all_inner_texts()
    assert events[0] == "session.created"
    assert {"session.updated", f"{INPUT}.speech_started", COMPLETED} <= set(events)
    screen.button("Hang up").click()
    expect(screen["#status"]).to_have_text("closed remote")
    expect(screen["#error"]).to_be_empty()
