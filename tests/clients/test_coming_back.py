"""The recipe for clients that come back, over a line that is cut while somebody speaks."""

import threading
from contextlib import contextmanager

import pytest

import recipes
from nodejs import PACKAGES
from recipes import here, program
from severed import Line

AWAY_S = 3
SHARE = 0.4  # of the audio, before the cut


@contextmanager
def disturbed(server, file):
    """A line to the server that is cut for a while once so much of the audio has gone over it, in base64."""
    enough, cuts, over = file.stat().st_size * 4 / 3 * SHARE, [], threading.Event()

    def disturb():
        while line.carried < enough and not over.wait(0.02):
            pass
        cuts.append(line.cut())
        over.wait(AWAY_S)
        line.mend()

    with Line(server.url) as line:
        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            yield line
        finally:
            over.set()
            thread.join()
    assert cuts == [1], "nothing was cut"


def tried(name, what, **more):
    return pytest.mark.client(name, "WebSocket", what, but="the connection is cut on purpose", **more)


@tried("websockets", "coming back to a session that was cut off", where=recipes.environment("openai"))
def test_python(tmp_path, hark, key, file):
    def run(server):
        return recipes.run(tmp_path, here(program("coming-back"), server, key), file, "openai")

    with disturbed(hark, file) as line:
        turns = run(line)
    assert turns == run(hark)
    recipes.check_words(" ".join(turns))


@tried("no library", "Node: coming back to a session that was cut off")
def test_node(node, hark, key, file):
    def run(server):
        source = here(program("coming-back", "JavaScript", "js"), server, key)
        return node.run_text(source, PACKAGES, str(file)).splitlines()

    with disturbed(hark, file) as line:
        turns = run(line)
    assert turns == run(hark)
    recipes.check_words(" ".join(turns))
