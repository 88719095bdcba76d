"""The clock of the machine is set back and forth by an hour while sessions go on.

Rule: libfaketime stands between the server's processes and the kernel; what it adds to the time stands in a file, and
changes while they run. The steady clock stays as it is, as it does where an operator sets the time.
"""

import shutil
import time
from pathlib import Path

import httpx
import pytest
from talking import Company, same_as, until

from hark.auth.keys import create_key
from hark.auth.store import Store
from hark.core.work import SAMPLE_RATE

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
pytestmark = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed: tests/faults/need-faketime")
FAKED = Path(__file__).parent / "faked"
HOUR_S = 3_600


class Clock:
    """That of the processes which are given `environment`."""

    def __init__(self, folder):
        self._file = folder / "clock"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",  # the file is read anew each second
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset_s):
        """So many seconds from the true time."""
        draft = self._file.with_suffix(".draft")
        draft.write_text(f"{offset_s:+d}s\n")
        shutil.move(draft, self._file)


@pytest.fixture(scope="module")
def clock(tmp_path_factory):
    return Clock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def timed(start, clock):
    server = start(paths=[FAKED], **clock.environment)
    server.data.mkdir()
    server.key = create_key(server.data, "talker", time.time(), audio_minutes_per_hour=600)
    return server


def mint(server, seconds=600):
    """A client secret, and when it expires."""
    url, headers = f"{server.url}/v1/realtime/client_secrets", {"Authorization": f"Bearer {server.key}"}
    answer = httpx.post(url, headers=headers, json={"expires_after": {"anchor": "created_at", "seconds": seconds}})
    assert answer.status_code == 200, answer.text
    return answer.json()["value"], answer.json()["expires_at"]


def greeting(server, credential):
    """The first event of who comes with it."""
    with server.socket(additional_headers={"Authorization": f"Bearer {credential}"}) as wire:
        return wire.receive()


def now(server):
    """What time the server believes that it is."""
    return mint(server)[1] - 600


def counted(server, now):
    (key,) = Store(server.data).all()
    return sum(Store(server.data).audio(now, [key.id])[key.id].values())


@pytest.mark.fault(
    "the clock is set back by an hour, and then forth by two",
    "nothing; client secrets live an hour longer, or are refused as expired",
)
def test_clock(timed, clock, clips, undisturbed, survived):
    secret, _ = mint(timed)
    with Company(timed, clips, key=timed.key) as company:
        company.wait_for_words()
        for offset_s, first in ((-HOUR_S, "session.created"), (HOUR_S, "error")):
            clock.set(offset_s)
            until(lambda offset_s=offset_s: abs(now(timed) - time.time() - offset_s) < 30, what="the clock was not set")
            began = time.monotonic()
            event = greeting(timed, secret)
            assert event["type"] == first
            assert first != "error" or event["error"]["code"] == "expired_client_secret"
            fresh, _ = mint(timed)
            assert abs(greeting(timed, fresh)["session"]["expires_at"] - (time.time() + offset_s + 86_400)) < 30
    same_as(undisturbed, company)
    survived(company.recovery_s(began))
    with Company(timed, clips[:1], key=timed.key) as later:
        pass
    same_as(undisturbed[:1], later)
    sent = len(clips[0]) + SAMPLE_RATE
    until(lambda: counted(timed, time.time() + HOUR_S) >= sent, what="what was sent in this hour was not counted")
    clock.set(0)
    until(lambda: abs(now(timed) - time.time()) < 30)
    assert greeting(timed, secret)["type"] == "session.created", "a clock that is right again keeps nobody out"
