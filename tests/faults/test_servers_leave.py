"""The server is told to stop in mid-turn; one of its processes is killed; connections are lost and come back."""

import os
import signal

import pytest
from talking import Company, Returning, account, said, same_as

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
