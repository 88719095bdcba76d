"""The process of an engine is killed, stopped, starved of memory, or brought down by what it hears."""

import os
import re
import signal
import time

import pytest
from talking import FAILED, Company, said, same_as, until


def replaced(server, gone):
    """When none of these processes is there any more and another one runs."""
    until(lambda: server.engines and not set(server.engines) & set(gone))
    return time.monotonic()


def lost(server):
    """When one of the processes was gone, and when another ran."""
    before = set(server.engines)
    until(lambda: before - set(server.engines))
    began = time.monotonic()
    until(lambda: set(server.engines) - before)
    return began, time.monotonic()


@pytest.mark.fault("the process of the engine is killed (SIGKILL)", "a pause in the text")
def test_killed(server, clips, undisturbed, survived):
    with Company(server, clips) as company:
        company.wait_for_words()
        gone = server.engines
        began = time.monotonic()
        for pid in gone:
            os.kill(pid, signal.SIGKILL)
        after = replaced(server, gone)
    same_as(undisturbed, company)
    survived(company.recovery_s(began, after=after))


@pytest.mark.fault("the process of the engine is killed three times in a row", "a longer pause in the text")
def test_killed_again(server, clips, undisturbed, survived):
    with Company(server, clips) as company:
        company.wait_for_words()
        began = time.monotonic()
        for _ in range(3):
            gone = server.engines
            for pid in gone:
                os.kill(pid, signal.SIGKILL)
            after = replaced(server, gone)
    same_as(undisturbed, company)
    survived(company.recovery_s(began, after=after))


@pytest.mark.fault(
    "the process of the engine is stopped (SIGSTOP)",
    "a pause in the text of 10 s, by which a process without life is known",
)
def test_stopped(server, clips, undisturbed, survived):
    with Company(server, clips) as company:
        company.wait_for_words()
        gone = server.engines
        began = time.monotonic()
        for pid in gone:
            os.kill(pid, signal.SIGSTOP)
        after = replaced(server, gone)
    same_as(undisturbed, company)
    survived(company.recovery_s(began, after=after))


@pytest.fixture(scope="module")
def clicked(server, clips):
    """A clip with a click in its first turn that weak engines do not bear (plugins/fault_toys.py), and what it says."""
    clip = clips[1].copy()
    clip[2 * 16_000] = 1.0
    with Company(server, [clip]) as company:
        pass
    return clip, said(company.talks[0].events)


@pytest.mark.fault(
    "a turn that brings down every process that hears it",
    "`failed` for its item; pauses in the text of others",
    "that turn",
)
def test_poison(start, clips, undisturbed, clicked, survived):
    """The long turn that bears the mark asks for a partial hypothesis every third of a second."""
    clip, expected = clicked
    weak = start("--model", "moonshine-poisonable")
    with Company(weak, [clips[0], clip, clips[2]]) as company:
        began, after = lost(weak)
    same_as([undisturbed[0], [FAILED, *expected[1:]], undisturbed[2]], company)
    deaths = re.findall(r"the process of model moonshine-poisonable was ended by signal 6", weak.log)
    assert len(deaths) <= 9, "each partial hypothesis of the turn ended processes"
    survived(company.recovery_s(began, after=after))


@pytest.mark.fault("the memory of an engine runs out", "a pause in the text")
def test_out_of_memory(start, clips, undisturbed, clicked, survived, tmp_path):
    """An allocation fails in its process. Where the kernel has to choose whom to end, it is killed, as above."""
    clip, expected = clicked
    hoarded = tmp_path / "hoarded"
    weak = start("--model", "moonshine-hoarding", HOARDED=str(hoarded))
    with Company(weak, [clips[0], clip, clips[2]]) as company:
        began, after = lost(weak)
    assert hoarded.exists()
    same_as([undisturbed[0], expected, undisturbed[2]], company)
    survived(company.recovery_s(began, after=after))
