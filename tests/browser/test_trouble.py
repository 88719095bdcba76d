"""When something stands in the way, the page says what, and what to do."""

import time
import wave

from playwright.sync_api import expect

from hark.auth.keys import create_key
from screen import REAL
from serving import Server

KEY = "sk-browser-0123456789"
REFUSALS = [r"status of 401"]  # what the browser itself says of an answer


def enter(screen, key):
    screen.page.get_by_label("API key").fill(key)
    screen.button("Use this key").click()


# ---- microphone ----------------------------------------------------------------------------------------------------


def test_no_permission_for_the_microphone(open_page):
    screen = open_page(allowed=False)
    screen.button("Start listening").click()
    screen.notice("Allow it for this page")
    expect(screen.button("Try again")).to_be_visible()
    expect(screen["#status"]).to_have_text("Not listening")


def test_a_page_over_http_from_elsewhere_says_how_to_get_a_microphone(open_page, serve, short):
    url = serve(**REAL, allow_anonymous=True).url.replace("127.0.0.1", "elsewhere.test")
    screen = open_page(url=url, allowed=False)
    screen.notice("hark serve --tls-self-signed")
    screen.button("Start listening").click()
    screen.notice("hark serve --tls-self-signed")
    screen.page.get_by_label("Transcribe a file").set_input_files(short)
    screen.wait_for_turns(1)
    screen.button("Copy turn 1").click()
    expect(screen.button("Copy turn 1")).to_have_text("Copied")


def test_a_page_that_the_server_does_not_answer_is_told_why(open_page, serve):
    screen = open_page(url=serve(**REAL).url.replace("127.0.0.1", "elsewhere.test"), allowed=False)
    screen.excused = REFUSALS
    screen.notice("The server refuses this page.*--api-key")


# ---- keys ----------------------------------------------------------------------------------------------------------


def test_a_key_is_asked_for_once_and_kept_nowhere(open_page, short):
    screen = open_page(short, options={"api_key": KEY})
    screen.excused = REFUSALS
    told = []
    holds_key = lambda request: KEY in f"{request.url} {request.headers} {request.post_data}"  # noqa: E731
    screen.page.on("request", lambda request: told.append((request.url, holds_key(request))))
    screen.page.on("websocket", lambda socket: told.append((socket.url, KEY in socket.url)))
    screen.notice("asks for a key")
    screen.button("Start listening").click()
    enter(screen, "sk-wrong")
    expect(screen["#key-error"]).to_contain_text("Incorrect API key provided")
    expect(screen.page.get_by_label("API key")).to_be_focused()
    enter(screen, KEY)
    screen.wait_for_state("listening")
    screen.wait_for_turns(1)
    screen.stop()
    screen.page.get_by_label("Transcribe a file").set_input_files(short)
    expect(screen["#log h3"]).to_have_count(2)
    expect(screen["progress"]).to_have_count(0)
    assert {url.rpartition("/")[2] for url, has_key in told if has_key} == {"client_secrets"}
    assert any("transcriptions" in url for url, _ in told)
    assert any("intent=transcription" in url for url, _ in told)
    kept = screen.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert kept == '[{},{},""]'
    assert KEY not in screen.page.content()
    assert screen["#key"].input_value() == ""
    screen.button("Forget").click()
    screen.button("Start listening").click()
    expect(screen.page.get_by_role("dialog")).to_be_visible()
    screen.button("Cancel").click()
    screen.page.reload()
    screen.notice("asks for a key")


def test_a_limit_is_told(open_page, serve, tmp_path, short):
    key = create_key(tmp_path, "one at a time", time.time(), max_sessions=1)
    options = {"data_dir": str(tmp_path)}
    server = serve(**REAL, **options)
    screen = open_page(short, options=options)
    screen.excused = ["status of 429"]
    screen.button("Enter key").click()
    enter(screen, key)
    expect(screen.page.get_by_label("Model")).to_be_enabled()
    with server.socket(additional_headers={"Authorization": f"Bearer {key}"}) as other:
        assert other.receive()["type"] == "session.created"
        screen.button("Start listening").click()
        screen.notice("A limit of your key is reached")
        screen.page.get_by_label("Transcribe a file").set_input_files(short)
        screen.notice(r"short.wav: A limit of your key is reached.*Try again in \d+ s")
    screen["#notices .notice"].filter(has_text="short.wav").get_by_role("button", name="Try again").click()
    screen.wait_for_turns(1)


# ---- the server ----------------------------------------------------------------------------------------------------


def test_a_server_that_comes_back_is_found_again(open_page, samples):
    server = Server(**REAL)
    try:
        screen = open_page(samples / "two_cities.wav", url=server.url)
        screen.excused = ["WebSocket connection", "ERR_CONNECTION_(REFUSED|RESET)", "ERR_EMPTY_RESPONSE"]
        screen.start()
        screen.wait_for_turns(1)
        before = len(screen.turns)
        port = int(server.url.rpartition(":")[2])
        server.stop()
        screen.wait_for_state("reconnecting")
        expect(screen["#status"]).to_have_text("Connection lost, trying again")
        server = Server(**REAL, port=port)
        screen.wait_for_state("listening")
        screen.wait_for_turns(before + 1)
        expect(screen["#log h3"]).to_have_count(2)
        screen.stop()
    finally:
        server.stop()


def test_a_server_that_is_gone_is_said_so(open_page):
    server = Server(**REAL)
    try:
        screen = open_page(url=server.url)
        screen.excused = ["ERR_CONNECTION_REFUSED"]
        expect(screen.page.get_by_label("Model")).to_be_enabled()
    finally:
        server.stop()
    screen.button("Start listening").click()
    screen.notice("The server does not answer")
    expect(screen["#status"]).to_have_text("Not listening")


# ---- settings ------------------------------------------------------------------------------------------------------


def test_a_value_out_of_range_is_not_sent(open_page, short):
    screen = open_page(short).start()
    screen.page.get_by_label("Silence ms").fill("90000")
    screen.page.get_by_label("Silence ms").press("Tab")
    assert not screen.page.evaluate("document.getElementById('silence').validity.valid")
    screen.page.get_by_label("Silence ms").fill("300")
    screen.page.get_by_label("Silence ms").press("Tab")
    expect(screen["#applied"]).to_have_text("Applied")
    screen.stop()


def test_committing_nothing_is_explained_calmly(open_page, tmp_path):
    screen = open_page(samples_of_silence(tmp_path))
    screen.choose("when you say so")
    screen.start()
    screen.page.evaluate("for (let times = 0; times < 6; times += 1) document.getElementById('commit').click()")
    screen.notice("buffer too small")
    expect(screen["#status"]).to_have_text("Listening")
    screen.stop()


def samples_of_silence(folder):
    with wave.open(str(folder / "silence.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 16_000 * 20))
    return folder / "silence.wav"


def test_webrtc_that_is_not_offered_is_said_so(open_page):
    """As by a proxy that lets WebSockets through and nothing else below /v1/realtime."""
    screen = open_page()
    screen.page.route("**/v1/realtime/calls", lambda route: route.fulfill(status=404, body="Not Found"))
    screen.excused = ["status of 404"]
    screen.choose("WebRTC")
    screen.button("Start listening").click()
    screen.notice("does not offer WebRTC")
