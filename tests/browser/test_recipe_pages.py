"""The programs for browsers in docs/recipes, in Chromium as they stand there, at an origin that is not the server's.

Rule: the server's address and the secret are put in, and around a program what a page of one's own would have.
"""

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from documents import blocks, page, section
from listening import BECKETT, error_rate, turns_of
from screen import PATIENCE_MS, REAL

PACKAGES = Path(__file__).parent / "node" / "node_modules"
KEY = "sk-browser-0123456789"
AROUND = """
<!doctype html>
<meta charset="utf-8">
<script type="importmap">{ "imports": {
  "@openai/agents-realtime": "/node_modules/@openai/agents-realtime/dist/bundle/openai-realtime-agents.mjs",
  "zod": "/node_modules/zod/index.js"
} }</script>
<button id="close">Close</button>
<p id="transcript"></p>
<script type="module">
const secret = "none";
PROGRAM
document.querySelector("#close").onclick = () => session.close();
</script>
"""


@pytest.fixture
def visit(abroad, serve, event_logs):
    """Gives a Screen on this page, with a secret of a session of this type in it."""
    server = serve(**REAL, api_key=KEY, event_log=event_logs)

    def opened(text, kind="transcription"):
        url, headers = f"{server.url}/v1/realtime/client_secrets", {"Authorization": f"Bearer {KEY}"}
        minted = httpx.post(url, json={"session": {"type": kind}}, headers=headers).json()
        assert "127.0.0.1:8000" in text
        text = text.replace("127.0.0.1:8000", server.url.removeprefix("http://")).replace(
            '"none"', f'"{minted["value"]}"'
        )
        return abroad(text)

    return opened


def check_words(text):
    assert error_rate(BECKETT, turns_of([{"item_id": "item", "transcript": text}])) <= 0.25, text


def without_a_library(title, over):
    return pytest.param(title, marks=pytest.mark.client("no library", over, "the recipe's page in Chromium"))


@pytest.mark.parametrize(
    "title", [without_a_library("Over WebRTC", "WebRTC"), without_a_library("Over a WebSocket", "WebSocket")]
)
def test_without_a_library(visit, title):
    (text,) = blocks(section("docs/recipes/browsers.md", title), "html")
    screen = visit(text)
    screen.button("Start").click()
    expect(screen["#text"]).to_contain_text(re.compile("better", re.IGNORECASE), timeout=PATIENCE_MS)
    check_words(screen["#text"].text_content())
    screen.button("Stop").click()


@pytest.mark.client("@openai/agents-realtime", "WebRTC", "the recipe's program in Chromium", where=PACKAGES)
def test_the_agents_sdk(visit):
    (program,) = [block for block in blocks(page("docs/recipes/agents-realtime.md"), "js") if "webrtc" in block]
    screen = visit(AROUND.replace("PROGRAM", program), "realtime")
    expect(screen["#transcript"]).to_contain_text(re.compile("better", re.IGNORECASE), timeout=PATIENCE_MS)
    check_words(screen["#transcript"].text_content())
    screen.button("Close").click()
