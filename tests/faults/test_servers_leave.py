"""The server is told to stop in mid-turn; one of its processes is killed; connections are lost and come back."""

import os
import signal

import httpx
import pytest
from talking import Company, Returning, account, said, same_as, until

from gateways import children

CLOSE_RESTART = 1012


@pytest.mark.fault("connections are lost in mid-turn, and their clients come back to their sessions", "the same items")
def test_resumed(server, clips, undisturbed):
    with Company(server, clips, kind=Returning) as company:
        pass
    same_as(undisturbed, company)


@pytest.mark.fault(
    "the server is told to stop in mid-turn (SIGTERM)", "1012 after its last `completed`; newcomers 1012 or 503"
)
def test_stopped_in_mid_turn(start, clips, undisturbed):
    leaving = start()
    with Company(leaving, clips) as company:
        company.wait_for_words()
        os.kill(leaving.pid, signal.SIGTERM)
    for talk, words in zip(company.talks, undisturbed, strict=True):
        assert talk.fault.rcvd.code == CLOSE_RESTART
        account(talk.events)
        heard = said(talk.events)
        assert heard == words[: len(heard)]
    assert any(said(talk.events) for talk in company.talks)


@pytest.mark.fault(
    "the key is changed in mid-turn (SIGHUP)", "nothing; newcomers need the new key, the old one is refused with 401"
)
def test_reloaded_in_mid_turn(start, clips, undisturbed, tmp_path):
    file = tmp_path / "server.env"
    file.write_text("HARK_API_KEY=sk-before-0123\n")
    server = start("--env-file", str(file))
    with Company(server, clips, key="sk-before-0123") as company:
        company.wait_for_words()
        file.write_text("HARK_API_KEY=sk-after-0123\n")
        os.kill(server.pid, signal.SIGHUP)
        until(lambda: models(server, "sk-after-0123") == 200)
        assert models(server, "sk-before-0123") == 401
    same_as(undisturbed, company)


def models(server, key):
    return httpx.get(f"{server.url}/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code


@pytest.mark.fault(
    "one process of `--workers` is killed (SIGKILL)",
    "those of the other: nothing; its own: the connection breaks, and they begin anew",
    "the sessions of that process",
)
def test_a_worker_killed(start, clips, undisturbed):
    several = start("--workers", "2")
    with Company(several, [*clips, clips[0]]) as company:
        company.wait_for_words()
        os.kill(children(several.pid)[0], signal.SIGKILL)
    expected = [*undisturbed, undisturbed[0]]
    whole = [pair for pair in zip(company.talks, expected, strict=True) if pair[0].fault is None]
    assert len(whole) == 2, "sessions are spread evenly"
    for talk, words in whole:
        account(talk.events)
        assert said(talk.events) == words
    with Company(several, clips) as later:
        pass
    same_as(undisturbed, later)
