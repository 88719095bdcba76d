"""Two pages that people published because they did not work at OpenAI, with only the host changed."""

import re
from pathlib import Path

import httpx
from playwright.sync_api import expect

from screen import REAL
from served import Served

PAGES = Path(__file__).parent / "pages"
KEY = "sk-browser-0123456789"
COMPLETED = "conversation.item.input_audio_transcription.completed"


def write(folder, page, **given):
    text = (PAGES / page).read_text("utf-8")
    for name, value in given.items():
        text = text.replace(f"{{{name}}}", value)
    (folder / "index.html").write_text(text, "utf-8")


def check(screen):
    """Messages of the beta dialect, for its endpoints minted the secret, and the right words."""
    screen.excused = ["favicon", "status of 404"]
    rows = screen["#messages li"]
    expect(rows.filter(has_text=re.compile(rf"{COMPLETED}.*failed", re.IGNORECASE)).first).to_be_visible(timeout=30_000)
    expect(rows.first).to_have_text(re.compile("^transcription_session.created"))


def test_the_page_that_offers_where_one_mints(open_page, serve, short, tmp_path):
    server = serve(**REAL, api_key=KEY)
    body = {"input_audio_transcription": {"model": "gpt-4o-transcribe", "language": "en"}}
    headers = {"Authorization": f"Bearer {KEY}"}
    minted = httpx.post(f"{server.url}/v1/realtime/transcription_sessions", json=body, headers=headers).json()
    write(tmp_path, "mints_elsewhere.html", server=server.url, secret=minted["client_secret"]["value"])
    with Served(tmp_path) as url:
        screen = open_page(short, url=url)
        screen.button("Record").click()
        expect(screen["#status"]).to_have_text("Recording")
        check(screen)
        expect(screen["#error"]).to_be_empty()


def test_the_page_that_mints_by_itself(open_page, serve, short, tmp_path):
    server = serve(**REAL, api_key=KEY)
    write(tmp_path, "mints_by_itself.html", server=server.url, key=KEY)
    with Served(tmp_path) as url:
        screen = open_page(short, url=url)
        screen.button("Start").click()
        check(screen)
        screen.button("Stop").click()
