"""SIGHUP: a server that runs takes up what its files say now, all of it or nothing, and no session notices."""

import asyncio
import os
import pty
import re
import signal
import socket
import ssl
import subprocess
from contextlib import ExitStack

import httpx
import pytest
from websockets.sync.client import connect

from documents import codes, section, table
from gateways import LINUX, OPTIONS, Gateways, group, until
from hark.bench.processes import PROGRAM
from hark.cli import supervisor
from hark.cli.supervisor import supervised
from hark.config import RELOADED, Settings
from hark.edge import tls
from hark.edge.renewal import Renewal
from hark.errors import OperatorError
from serving import COMPLETED, PATIENCE_S, Wire, settings, speech

pytestmark = pytest.mark.skipif(not LINUX, reason="a signal of Unix; processes are looked at in /proc")

ONE, TWO = "sk-the-first-key", "sk-the-second-key"
WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel")
TAKEN, REFUSED, LATER = "settings were read anew:", "the settings stay as they were.", "only a restart changes"


class Reloading(Gateways):
    """A server whose settings lie in `.env` of its folder."""

    def __init__(self, folder, *flags, workers=1, **given):
        self.folder = folder
        self.write(**given)
        super().__init__(folder, *flags, workers=workers)

    def write(self, **given):
        lines = [f"HARK_{name.upper()}={value}\n" for name, value in given.items()]
        (self.folder / ".env").write_text("".join(lines))

    def reload(self, **given):
        """Write these, send the signal; the lines that the log says of it."""
        self.write(**given)
        return self.hang_up()

    def hang_up(self):
        before = len(self.log)
        os.kill(self.pid, signal.SIGHUP)
        until(lambda: TAKEN in self.log[before:] or REFUSED in self.log[before:])
        return self.log[before:]

    def status(self, key=None):
        return httpx.get(f"{self.url}/v1/models", headers=bearer(key)).status_code

    def upload(self, size, key):
        url, file = f"{self.url}/v1/audio/transcriptions", ("a.wav", bytes(size))
        answer = httpx.post(url, headers=bearer(key), files={"file": file}, data={"model": "whisper-1"})
        return answer.status_code


def bearer(key):
    return {"Authorization": f"Bearer {key}"} if key else {}


@pytest.fixture
def served(tmp_path):
    with ExitStack() as stack:

        def made(*flags, **options):
            server = Reloading(tmp_path, *flags, **options)
            stack.callback(server.kill)
            return server

        yield made


def frames(audio, rate=24_000):
    step = rate // 10 * 2
    return [audio[first : first + step] for first in range(0, len(audio), step)]


@pytest.mark.parametrize("workers", [1, 2])
def test_keys_and_limits_change_while_people_speak(served, tmp_path, workers):
    (tmp_path / "key").write_text(ONE + "\n")
    server = served(workers=workers, api_key_file="key", max_sessions=4)
    with ExitStack() as stack:
        wires = [stack.enter_context(server.socket(additional_headers=bearer(ONE))) for _ in range(2)]
        first = [wire.receive()["session"]["expires_at"] for wire in wires]
        assert server.upload(2 * 2**20, ONE) == 400  # which is no recording
        audio = frames(speech(*WORDS))
        for number, frame in enumerate(audio):
            for wire in wires:
                wire.append(frame)
            if number == len(audio) // 2:
                (tmp_path / "key").write_text(TWO)
                said = server.reload(
                    api_key_file="key", max_sessions=3, max_session_minutes=5, max_file_mb=1, aliases="mine=scripted"
                )
                changed = "--aliases, --api-key, --max-file-mb, --max-session-minutes, --max-sessions"
                assert set(said.partition(TAKEN)[2].split("\n")[0].strip().split(", ")) == set(changed.split(", "))
                assert LATER not in said
                assert not {ONE, TWO} & set(said.replace(",", " ").split())
        for wire in wires:
            events = wire.until(COMPLETED)
            assert events[-1]["transcript"] == " ".join(WORDS)
            assert [event["type"] for event in events].count(COMPLETED) == 1
        with server.socket(additional_headers=bearer(TWO)) as third:
            begun = third.receive()
            assert begun["session"]["expires_at"] < min(first) - 60
            assert third.hear("alpha") == "alpha"
            with server.socket(additional_headers=bearer(TWO)) as fourth:
                (event,), code, _ = fourth.ending()
                assert (event["error"]["code"], code) == ("server_overloaded", 1013)
                assert "--max-sessions allows 3" in event["error"]["message"]
        # Both gateways have all of it.
        for _ in range(2 * workers):
            assert [server.status(key) for key in (None, ONE, TWO)] == [401, 401, 200]
            listed = httpx.get(f"{server.url}/v1/models", headers=bearer(TWO)).json()["data"]
            assert "mine" in {entry["id"] for entry in listed}
            assert server.upload(2 * 2**20, TWO) == 413
        # Those that are open are told nothing, and go on with what they began with.
        assert [wire.hear("bravo", "charlie") for wire in wires] == ["bravo charlie"] * 2


@pytest.mark.parametrize("workers", [1, 2])
def test_what_the_log_tells_changes_and_what_it_must_not_hold_does_too(served, workers):
    server = served(workers=workers, api_key=ONE)

    def asked():
        """What the log says of a request whose path holds the key that is in force."""
        before = len(server.log)
        httpx.get(f"{server.url}/{TWO}", headers=bearer(TWO))
        httpx.get(f"{server.url}/health")
        server.status()
        until(lambda: "/v1/models" in server.log[before:] or level == "warning")
        return server.log[before:]

    level = "debug"
    server.reload(api_key=TWO, log_level=level)
    said = asked()
    assert TWO not in said
    assert "DEBUG" in said
    others = re.findall(r"DEBUG (?:\[\d\] )?(?!hark)(\S+):", server.log)
    assert not others, "libraries show what they carry"
    level = "warning"
    server.reload(api_key=TWO, log_level=level)
    assert "INFO" not in asked()


def test_a_client_secret_ends_with_the_key_that_minted_it(served):
    server = served(api_key=ONE)
    url = f"{server.url}/v1/realtime/client_secrets"
    minted = httpx.post(url, headers=bearer(ONE), json={}).json()["value"]
    assert server.status(minted) == 200
    server.reload(api_key=TWO)
    assert server.status(minted) == 401
    server.reload(api_key=ONE)
    assert server.status(minted) == 200


@pytest.mark.parametrize("workers", [1, 2])
def test_where_one_thing_is_wrong_nothing_changes(served, tmp_path, workers):
    models = tmp_path / "models"  # an empty folder
    server = served(workers=workers, api_key=ONE, models_dir=models)
    wrong = {
        "--max-sessions: input should be a valid integer": {"api_key": TWO, "max_sessions": "many"},
        "--api-key-file nowhere cannot be read: No such file or directory": {"api_key_file": "nowhere"},
        "They hold no key, and this server asks for one.": {},
        "--aliases mine=nothing: no such model": {"api_key": TWO, "aliases": "mine=nothing"},
        "The files of moonshine-tiny-en are not on this machine. Run `hark pull moonshine-tiny-en` first.": {
            "api_key": TWO, "aliases": "mine=moonshine-tiny-en",
        },
        "--session-model whisper-1: no model of a realtime session": {"api_key": TWO, "session_model": "whisper-1"},
        "Expected --tls-cert and --tls-key together": {"api_key": TWO, "tls_cert": "a.pem"},
    }  # fmt: skip
    with server.socket(additional_headers=bearer(ONE)) as wire:
        wire.receive()
        for why, given in wrong.items():
            said = server.reload(max_file_mb=1, models_dir=models, **given)
            assert REFUSED in said
            assert why in said
            assert [server.status(ONE), server.status(TWO)] == [200, 401]
            assert server.upload(2 * 2**20, ONE) == 400
        assert wire.hear("alpha") == "alpha"
    assert TAKEN in server.reload(api_key=TWO, models_dir=models)
    assert [server.status(ONE), server.status(TWO)] == [401, 200]


def test_what_only_a_restart_changes_is_named_and_flags_stay(served):
    server = served("--max-sessions", "7", api_key=ONE)
    said = server.reload(
        api_key=TWO, max_sessions=1, threads=1, upstream_model="m", upstream_key="sk-upstream", log_level="warning"
    )
    until(lambda: f"{LATER} --upstream-key, --upstream-model\n" in server.log)
    assert "sk-upstream" not in server.log
    assert f"{TAKEN} none differs" not in said
    with server.socket(additional_headers=bearer(TWO)) as one, server.socket(additional_headers=bearer(TWO)) as two:
        assert {wire.receive()["type"] for wire in (one, two)} == {"session.created"}
    # The environment, which has the threads, stays as flags do.
    os.kill(server.pid, signal.SIGHUP)  # of which a log from warnings on says this alone
    until(lambda: server.log.count(LATER) == 2)
    assert server.status(TWO) == 200


def test_a_file_that_is_named_stands_for_env(served, tmp_path):
    (tmp_path / "hark.env").write_text(f"HARK_API_KEY={ONE}\n")
    server = served("--env-file", "hark.env", max_sessions=1)
    (tmp_path / "hark.env").write_text(f"HARK_API_KEY={TWO}\n")
    assert f"{TAKEN} --api-key\n" in server.hang_up()
    assert [server.status(ONE), server.status(TWO)] == [401, 200]
    (tmp_path / "hark.env").unlink()
    assert "--env-file hark.env cannot be read: No such file or directory" in server.hang_up()
    assert server.status(TWO) == 200


def test_a_gateway_that_takes_the_place_of_another_has_the_new_settings(served):
    server = served(workers=2, api_key=ONE)
    server.reload(api_key=TWO)
    before = server.pids
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: server.log.count("is there") == 2)
    assert not set(server.pids) & set(before)
    assert [server.status(key) for key in (ONE, TWO) * 2] == [401, 200] * 2


def test_where_one_gateway_cannot_none_does(monkeypatch):
    monkeypatch.setattr(supervisor, "RENEW_S", 0.5)
    given = settings(workers=2, threads=2, api_key=ONE, turn_model="none")

    async def scenario():
        async with supervised(given) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as client:
            held = server._gateways[0].process.pid
            os.kill(held, signal.SIGSTOP)
            with pytest.raises(OperatorError, match=r"gateway 0 did not answer within"):
                await server.renew(settings(workers=2, threads=2, api_key=TWO, turn_model="none"))
            os.kill(held, signal.SIGCONT)
            for _ in range(4):  # each on a connection of its own
                answer = await client.get("/v1/models", headers=bearer(ONE) | {"Connection": "close"})
                assert answer.status_code == 200

    asyncio.run(asyncio.wait_for(scenario(), 3 * PATIENCE_S))


@pytest.mark.parametrize("workers", [1, 2])
def test_the_level_of_the_log_counts_at_once(served, workers):
    server = served(workers=workers, log_level="warning")

    def ask(path):
        for _ in range(2 * workers):
            httpx.get(server.url + path)

    ask("/v1/models/before")
    server.reload(log_level="debug")
    ask("/health")
    until(lambda: "DEBUG" in server.log and "GET /health: 200" in server.log)
    assert TAKEN in server.reload(log_level="info")
    ask("/v1/models/after")
    until(lambda: "/v1/models/after" in server.log)
    debugged = server.log.count("GET /health")
    ask("/health")
    ask("/v1/models/last")
    until(lambda: server.log.count("/v1/models/last") == 2 * workers)
    assert server.log.count("GET /health") == debugged
    assert "/v1/models/before" not in server.log


# ---- certificates


def certificate(folder):
    """A new pair of files, and the certificate as clients see it."""
    folder.mkdir()
    made = tls.Certificate(folder / "chain.pem", folder / "key.pem")
    tls._make(made, list(tls.NAMES))
    return made, ssl.PEM_cert_to_DER_cert(made.chain.read_text().partition("\n\n")[0])


def shown(url, name=None):
    """The certificate that a client is shown; None is one that does not say whom it calls."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), PATIENCE_S) as raw,
        context.wrap_socket(raw, server_hostname=name) as secure,
    ):
        return secure.getpeercert(binary_form=True)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_new_certificate_is_shown_to_who_comes_then(served, tmp_path, workers):
    (one, first), (two, second) = certificate(tmp_path / "one"), certificate(tmp_path / "two")
    live = tls.Certificate(tmp_path / "live.pem", tmp_path / "live.key")

    def put(chain, key):
        live.chain.write_bytes(chain.read_bytes())
        live.key.write_bytes(key.read_bytes())

    put(one.chain, one.key)
    server = served(workers=workers, tls_cert="live.pem", tls_key="live.key")
    names = (None, "localhost")
    assert {shown(server.url, name) for name in names} == {first}
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    with connect(f"wss{server.url[5:]}/v1/realtime?intent=transcription", ssl=anyone, compression=None) as talking:
        wire = Wire(talking)
        wire.receive()
        audio = frames(speech(*WORDS))
        for number, frame in enumerate(audio):
            wire.append(frame)
            if number == len(audio) // 3:
                put(two.chain, one.key)  # as they are between two steps of a renewal
                assert "cannot be used" in server.hang_up()
                assert {shown(server.url, name) for name in names * workers} == {first}
                live.chain.unlink()
                assert "cannot be used: No such file or directory" in server.hang_up()
                assert {shown(server.url, name) for name in names * workers} == {first}
            if number == 2 * len(audio) // 3:
                put(two.chain, two.key)
                assert TAKEN in server.hang_up()
                assert {shown(server.url, name) for name in names * workers} == {second}
        assert wire.until(COMPLETED)[-1]["transcript"] == " ".join(WORDS)
        assert wire.hear("alpha") == "alpha"


# ---- terminals


def test_a_terminal_that_is_closed_ends_the_server(tmp_path):
    ours, theirs = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HARK_")}
    program = [*PROGRAM[:2], "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n" + PROGRAM[2], "serve"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            program, cwd=tmp_path, env=kept | OPTIONS | {"HARK_DATA_DIR": str(tmp_path)},
            stdin=theirs, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
        )  # fmt: skip
    os.close(theirs)
    try:
        assert "Hark listens" in process.stdout.readline()
        os.kill(process.pid, signal.SIGHUP)
        until(lambda: TAKEN in (tmp_path / "log").read_text())
        assert process.poll() is None
        os.close(ours)
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        until(lambda: not group(process.pid))
    finally:
        process.kill()
        process.wait()


# ---- the parts


def test_every_option_that_is_reloaded_has_its_row():
    rows = table(section("docs/configuration.md", "SIGHUP"), "option")
    listed = {flag.removeprefix("--").replace("-", "_") for row in rows for flag in codes(row[0])}
    assert listed == RELOADED
    assert set(Settings.model_fields) >= RELOADED


def test_what_comes_before_the_server_stands_is_applied_when_it_does():
    renewal, heard = Renewal(), []
    renewal.prepare("first")()
    renewal.prepare("unwanted")
    renewal.attach(lambda given: lambda: heard.append(given))
    renewal.prepare("second")()
    assert heard == ["first", "second"]
