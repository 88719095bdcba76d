"""What tests of several floors share: servers that live as long as the test run, and recordings."""

import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from hypothesis import settings
from openai import OpenAI

from hark.audio.files import read_audio
from hark.auth.redis_server import RedisServer
from hark.models.files.pull import models_folder, pull
from hark.models.files.table import DEFAULTS
from pretender import Pretender
from redises import Redis, needs_redis
from serving import Server

pytest.register_assert_rewrite("listening", "rawsocket", "talking")
# CI tries the same examples each time; a developer's runs look for new ones. None has to be quick: machines are shared.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("any", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "any")


def pytest_collection_modifyitems(items):
    """Where HARK_COMPUTE names workers elsewhere, what is about engines of the server itself is left out."""
    if os.environ.get("HARK_COMPUTE"):
        for item in items:
            if item.get_closest_marker("here"):
                item.add_marker(pytest.mark.skip(reason="engines are elsewhere"))


@pytest.fixture(scope="session", autouse=True)
def nobody_elses_keys(tmp_path_factory):
    """The keys and signing keys of who runs the tests stay out of them, and those of the tests out of his."""
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))


def stop_all(servers):
    """Beside each other, for each lets go of its clients first."""
    with ThreadPoolExecutor(max_workers=max(1, len(servers))) as pool:
        list(pool.map(lambda server: server.stop(), servers.values()))


@pytest.fixture(scope="session")
def serve():
    """Gives the server that runs with these options, and starts it if need be."""
    servers = {}

    def serving(**options):
        key = tuple(sorted(options.items()))
        if key not in servers:
            servers[key] = Server(**options)
        return servers[key]

    yield serving
    stop_all(servers)


@pytest.fixture(autouse=True)
def log_as_it_was():
    """A command that is run in this process sets up the log of a process, and tests share theirs."""
    root, hooks = logging.getLogger(), (sys.excepthook, sys.unraisablehook, threading.excepthook)
    handlers, levels = root.handlers[:], {name: logging.getLogger(name).level for name in ("", "hark")}
    yield
    if root.handlers != handlers:
        root.handlers[:] = handlers
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        sys.excepthook, sys.unraisablehook, threading.excepthook = hooks


@pytest.fixture
def server(serve):
    """The server that most tests share: without a key."""
    return serve()


@pytest.fixture(scope="session")
def pretend():
    """Gives the pretender of OpenAI's service with these switches, and starts it if need be."""
    pretenders = {}

    def pretending(**switches):
        key = tuple(sorted(switches.items()))
        if key not in pretenders:
            pretenders[key] = Pretender(**switches)
        return pretenders[key]

    yield pretending
    stop_all(pretenders)


@pytest.fixture
def today(pretend):
    """OpenAI's service without any fault."""
    return pretend()


@pytest.fixture
def before(pretend):
    """The same while its beta API was on."""
    return pretend(beta="on")


@pytest.fixture
def sdk():
    """OpenAI's client, to be made with a pretender, and with a credential if it is not the API key."""

    def made(pretender, key=None):
        key = key or pretender.key
        return stack.enter_context(OpenAI(base_url=f"{pretender.url}/v1", api_key=key, max_retries=0))

    with ExitStack() as stack:
        yield made


@pytest.fixture(scope="session")
def redis(tmp_path_factory):
    """A redis-server that stays whole; whoever harms one starts another."""
    running = Redis(tmp_path_factory.mktemp("redis"))
    yield running
    running.stop()


@pytest.fixture(params=["folder", pytest.param("redis", marks=needs_redis)])
def place(request, tmp_path):
    """Where keys are kept: either of the two, with nothing in it."""
    if request.param == "folder":
        return tmp_path
    return RedisServer(request.getfixturevalue("redis").emptied())


@pytest.fixture(params=["ga", "beta"])
def dialect(request):
    return request.param


@pytest.fixture(scope="session")
def samples():
    """The folder with the sample recordings; what the default server needs is pulled too."""
    pull(DEFAULTS, models_folder(), progress=lambda *_: None)
    return models_folder() / "samples"


@pytest.fixture(scope="session")
def recording(samples):
    """A sample by name, at a rate, as mono float32."""
    return lambda name, rate=16_000: read_audio(samples / f"{name}.wav", rate)
