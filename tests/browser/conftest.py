"""The page and published clients in headless Chromium, with real models; the microphone plays a recording.

Rule: what a test reads stands on the screen, and what it does goes through the controls that people have. A test fails
if the console says anything, a script throws or the Content-Security-Policy stops something, unless it excused that.
"""

import os
import shutil
import sys
import wave
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

sys.path.append(str(Path(__file__).parents[1] / "speech"))

import matrix
from screen import REAL, Screen
from served import Served

PACKAGES = Path(__file__).parent / "node" / "node_modules"
# Everything that a browser would fetch by itself is off: there is no network in tests.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream",
    "--host-resolver-rules=MAP elsewhere.test 127.0.0.1",
]  # fmt: skip
ALLOWED = "--use-fake-ui-for-media-stream"


def pytest_configure(config):
    matrix.attach(config)


@pytest.fixture(scope="session")
def chromium():
    """Gives the browser whose microphone plays this file, once; `allowed`: pages may have the microphone."""
    program = shutil.which(os.environ.get("HARK_CHROMIUM", "chromium"))
    assert program, "There is no Chromium: run make test-browser."
    browsers = {}
    with sync_playwright() as playwright:

        def launch(file, allowed=True):
            if (file, allowed) not in browsers:
                flags = [*FLAGS, f"--use-file-for-fake-audio-capture={file}%noloop", *([ALLOWED] if allowed else [])]
                browsers[file, allowed] = playwright.chromium.launch(executable_path=program, args=flags)
            return browsers[file, allowed]

        yield launch
        for browser in browsers.values():
            browser.close()


@pytest.fixture(scope="session")
def beckett(samples):
    return samples / "beckett.wav"


@pytest.fixture(scope="session")
def short(beckett, tmp_path_factory):
    """The first two turns of it, and silence."""
    target = tmp_path_factory.mktemp("audio") / "short.wav"
    with wave.open(str(beckett)) as whole, wave.open(str(target), "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(round(3.1 * whole.getframerate())))
        part.writeframes(bytes(2 * 5 * whole.getframerate()))
    return target


@pytest.fixture(scope="session")
def late(beckett, tmp_path_factory):
    """The recording after two seconds of silence: the microphone starts before a call stands."""
    target = tmp_path_factory.mktemp("audio") / "late.wav"
    with wave.open(str(beckett)) as whole, wave.open(str(target), "wb") as padded:
        padded.setparams(whole.getparams())
        second = bytes(whole.getsampwidth() * whole.getnchannels() * whole.getframerate())
        padded.writeframes(2 * second + whole.readframes(whole.getnframes()) + 5 * second)
    return target


@pytest.fixture
def open_page(chromium, samples, serve, beckett):
    """Gives a Screen on the page of the server with these options, or at this URL."""
    contexts, screens = [], []

    def opened(file=beckett, *, url=None, allowed=True, path="", options=None, **context):
        given = {"viewport": {"width": 1280, "height": 860}} | context
        permissions = ["microphone", "clipboard-read", "clipboard-write"] if allowed else []
        contexts.append(chromium(str(file), allowed).new_context(permissions=permissions, **given))
        screens.append(Screen(contexts[-1].new_page(), (url or serve(**REAL, **(options or {})).url) + path))
        return screens[-1]

    yield opened
    for screen in screens:
        screen.check()
    for context in contexts:
        context.close()


@pytest.fixture(params=["websocket", "webrtc"])
def transport(request):
    return request.param


@pytest.fixture
def abroad(open_page, late, tmp_path):
    """Gives a Screen on a page with this text, at an origin that is not the server's, beside the packages."""

    def opened(text):
        (tmp_path / "index.html").write_text(text, "utf-8")
        (tmp_path / "node_modules").symlink_to(PACKAGES)
        screen = open_page(late, url=site)
        screen.excused = ["favicon", "status of 404"]
        return screen

    with Served(tmp_path) as site:
        yield opened
