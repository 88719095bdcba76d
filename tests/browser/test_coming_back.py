"""The page loses its connection while somebody speaks: it goes on listening and comes back; no word is lost or doubled.

Rule: a disturbed run is compared with what the same samples of the same microphone give undisturbed; words, which
depend on what else a model has in hand, with what was said.
"""

import json
import time
from contextlib import ExitStack

import pybase64
import pytest
from playwright.sync_api import expect

from listening import BECKETT, Process, error_rate, turns_of
from screen import PATIENCE_MS, REAL
from serving import COMPLETED
from severed import Line
from test_reach import PHONE, faults

KEY = "sk-browser-0123456789"
AWAY_S = 3
BYTES_A_MS = 48
NETWORK = ["WebSocket connection", r"ERR_(CONNECTION|SOCKET|EMPTY)_\w+"]  # what the browser itself says of it
LISTEN = """
  window.heard = [];
  window.AudioWorkletNode = class extends AudioWorkletNode {
    constructor(...given) {
      super(...given);
      this.port.addEventListener("message", ({ data }) => heard.push(...data.samples));
    }
  };
"""
HEARD = """() => {
  const bytes = new Uint8Array(Int16Array.from(heard).buffer);
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}"""


@pytest.fixture
def severed(open_page):
    """Gives a Screen on the page of this server, and the line between the two."""
    with ExitStack() as lines:

        def opened(file, server, **context):
            line = lines.enter_context(Line(server.url))
            screen = open_page(file, url=line.url, **context)
            screen.excused = NETWORK
            screen.page.add_init_script(LISTEN)
            screen.page.reload()
            expect(screen.button("Start listening")).to_be_visible()
            return screen, line

        yield opened


def events(screen, kind):
    """Those of this type that the panel has."""
    if not screen["#event-filter"].is_visible():
        screen.open("events")
    screen["#event-filter"].fill(kind)
    screen["#event-copy"].click()
    expect(screen["#event-copy"]).to_have_text("Copied")
    copied = screen.page.evaluate("navigator.clipboard.readText()").splitlines()
    screen["#event-filter"].fill("")
    return [event for event in (json.loads(line)["event"] for line in copied) if event["type"] == kind]


def sent(page):
    """The audio that goes over each connection from now on, as lists of pcm16 that grow."""
    connections = []

    def opened(socket):
        audio = []
        connections.append(audio)
        socket.on("framesent", lambda frame: audio.append(json.loads(frame).get("audio", "")))

    page.on("websocket", opened)
    return lambda: [b"".join(map(pybase64.b64decode, audio)) for audio in connections]


def times(completed):
    return [(event["start_ms"], event["end_ms"]) for event in completed]


def heard(screen):
    """All that the page's microphone gave, as pcm16."""
    return pybase64.b64decode(screen.page.evaluate(HEARD))


def undisturbed(screen, server, turns):
    """When the turns begin and end if that is sent over one connection."""
    (created, *_) = events(screen, "session.created")
    listening = created["session"]["audio"]["input"]
    session = {name: listening[name] for name in ("format", "transcription", "turn_detection")}
    audio = heard(screen)
    with server.session() as wire:
        wire.send("session.update", session={"type": "transcription", "audio": {"input": session}})
        for start in range(0, len(audio), 48_000):
            wire.append(audio[start : start + 48_000])
        wire.append(bytes(96_000))
        return times([wire.until(COMPLETED)[-1] for _ in range(turns)])


def begun(screen):
    expect(screen["#transcript"]).to_contain_text("ever", ignore_case=True, timeout=PATIENCE_MS)


def cut_for_a_while(screen, line):
    line.cut()
    screen.wait_for_state("reconnecting")
    expect(screen["#calm"]).to_contain_text("what you say is kept")
    expect(screen["#alarms"]).to_be_empty()
    time.sleep(AWAY_S)  # of speech
    line.mend()
    screen.wait_for_state("listening")


def check_words(words):
    assert error_rate(BECKETT, turns_of([{"item_id": "item", "transcript": words}])) <= 0.25, words


def test_a_turn_goes_on_over_a_cut(serve, severed, late):
    server = serve(**REAL)
    screen, line = severed(late, server)
    audio = sent(screen.page)
    screen.start()
    begun(screen)
    cut_for_a_while(screen, line)
    expect(screen["#notices .notice"]).to_have_count(0)
    screen.wait_for_turns(6)
    screen.stop()
    completed = events(screen, COMPLETED)
    check_words(screen.text)
    assert times(completed) == undisturbed(screen, server, 6)
    assert screen.turns == [event["transcript"].strip() for event in completed]
    expect(screen["#log h3"]).to_have_count(1)
    expect(screen["#log .failed"]).to_have_count(0)
    assert screen.drawn("--voice")[0] > 200
    first, again = events(screen, "session.created")
    assert first["session"]["id"] == again["session"]["id"]
    assert again["resumed"]["events_missed"] is False
    before, after = audio()
    assert before[: again["resumed"]["audio_end_ms"] * BYTES_A_MS] + after == heard(screen), "no sample lost or doubled"


def test_a_server_that_is_out_of_reach_is_noticed(serve, severed, late):
    """Nothing breaks: networks that go away do not say so."""
    screen, line = severed(late, serve(**REAL))
    screen.start()
    begun(screen)
    line.hold()
    screen.wait_for_state("reconnecting")
    line.cut()
    line.mend()
    screen.wait_for_state("listening")
    screen.wait_for_turns(6)
    screen.stop()
    check_words(screen.text)
    expect(screen["#log h3"]).to_have_count(1)
    expect(screen["#log .failed"]).to_have_count(0)


def test_the_key_mints_a_secret_for_each_connection(serve, severed, late):
    screen, line = severed(late, serve(**REAL, api_key=KEY))
    minted, used = [], []
    screen.page.on("requestfinished", lambda it: minted.append(it.url) if it.url.endswith("client_secrets") else None)
    screen.page.on("websocket", lambda socket: used.append((len(minted), socket.url)))
    screen.button("Enter key").click()
    screen.page.get_by_label("API key").fill(KEY)
    screen.button("Use this key").click()
    screen.start()
    begun(screen)
    cut_for_a_while(screen, line)
    screen.wait_for_turns(6)
    screen.stop()
    check_words(screen.text)
    (before, first), (after, again) = used
    assert after > before
    assert "resume=sess_" in again
    assert "resume" not in first
    assert KEY not in again


def test_a_session_that_nobody_waited_for_is_followed_by_another(serve, severed, late):
    server = serve(**REAL, resume_seconds=1)
    screen, line = severed(late, server)
    screen.choose("when you say so")  # so that the turn is open
    screen.start()
    screen.present("ever")
    cut_for_a_while(screen, line)
    screen.notice("no longer has the session.*is kept")
    expect(screen["#alarms"]).to_be_empty()
    expect(screen["#log .failed .words"]).to_contain_text("ver", ignore_case=True)
    expect(screen["#log .failed small"]).to_contain_text("sent again")
    expect(screen["#log h3"]).to_have_count(2)
    screen.present("better")
    screen.stop()
    check_words(screen.text)
    first, again = events(screen, "session.created")
    assert first["session"]["id"] != again["session"]["id"]


def test_a_server_that_is_restarted_finishes_the_turn_first(severed, late, tmp_path):
    flags = ("--model", REAL["model"], "--voice-model", REAL["voice_model"])
    data = {"HARK_DATA_DIR": str(folder(tmp_path / "data"))}
    servers = [Process(folder(tmp_path / name), *flags, **data) for name in ("before", "after")]
    try:
        screen, line = severed(late, servers[0])
        screen.start()
        begun(screen)
        line.to = servers[1].url
        servers[0].end()
        screen.notice("The server was restarted.*is kept")
        screen.wait_for_turns(6)
        screen.stop()
        check_words(screen.text)
        expect(screen["#log h3"]).to_have_count(2)
        expect(screen["#log .failed"]).to_have_count(0)
    finally:
        for server in servers:
            server.stop()


def folder(path):
    path.mkdir()
    return path


def test_stopping_while_away_ends_it(serve, severed, late):
    screen, line = severed(late, serve(**REAL))
    screen.choose("when you say so")
    screen.start()
    screen.present("ever")
    line.cut()
    screen.wait_for_state("reconnecting")
    screen.stop()
    expect(screen["#log .failed small"]).to_contain_text("The connection was lost before this turn was finished")
    expect(screen["#notices .notice"]).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 860}, PHONE], ids=["desk", "phone"])
def test_axe_finds_no_fault_while_away(serve, severed, late, scheme, viewport):
    screen, line = severed(late, serve(**REAL), viewport=viewport, color_scheme=scheme)
    screen.start()
    begun(screen)
    line.cut()
    screen.wait_for_state("reconnecting")
    expect(screen.button("Try now")).to_be_visible()
    assert faults(screen) == []
    assert screen.page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    screen.stop()
