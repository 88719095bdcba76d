"""Thirty people talk to a gateway while its workers are killed, frozen, taken away and replaced.

Rule: what each was told is what was told to somebody undisturbed, word for word. How long the worst of them waited for
a transcript, and the gateway for a worker, goes into the table of docs/scaling.md (measured.py).
"""

import time

import pytest
from talking import Company, account, said, same_as, until

from conftest import SESSIONS


@pytest.fixture(scope="module")
def undisturbed(gateway, clips, measured):
    """What each clip says where nothing happens, to thirty at once."""
    with measured.asked(gateway) as asked, thirty(gateway, clips) as company:
        pass
    for talk in company.talks:
        assert talk.fault is None, talk.fault
        account(talk.events)
    expected = [said(talk.events) for talk in company.talks]
    for at, words in enumerate(expected):
        assert words == expected[at % len(clips)], "one clip has one text"
    measured("nothing happens", company.longest_wait_s(), asked())
    return expected


def thirty(gateway, clips):
    return Company(gateway, clips * (SESSIONS // len(clips)), faster=1.0)


@pytest.fixture
def talking(gateway, clips, undisturbed, measured, workers):
    """Thirty who talk, in the middle of turns; when the test is over, what they were told is compared."""

    def after(fault, company):
        company.wait()
        same_as(undisturbed, company)
        measured(fault, company.longest_wait_s(), asked())
        workers.wait_until_healthy()

    workers.wait_until_healthy()
    with measured.asked(gateway) as asked:
        company = thirty(gateway, clips).__enter__()
        company.wait_for_words()
        yield company, after
        company.wait()


def test_a_worker_is_killed(talking, workers):
    company, compare = talking
    workers.kill_replica(workers.running()[0].pid)
    time.sleep(12)
    workers.kill_replica(workers.running()[-1].pid)
    compare("two workers are killed (`kill -9`), one after the other", company)


def test_a_worker_is_frozen(talking, workers):
    company, compare = talking
    victim = workers.running()[0].pid
    workers.freeze(victim)
    try:
        company.wait()
    finally:
        workers.thaw(victim)
    compare("a worker is frozen (`SIGSTOP`) for good", company)


def test_two_of_three_workers_are_taken_away(talking, workers):
    company, compare = talking
    workers.scale(1)
    try:
        until(lambda: len(workers.replicas()) == 1, what="the workers never left: streams stayed with them")
        assert any(talker.is_alive() for talker in company.talkers), "the talkers had ended before the workers did"
        company.wait()
    finally:
        workers.scale(3)
    compare("replicas 3 → 1", company)


def test_workers_are_replaced_one_by_one(talking, workers):
    company, compare = talking
    old = {replica.id for replica in workers.running()}
    workers.update()
    until(lambda: len(old - {replica.id for replica in workers.replicas()}) >= 1)
    assert any(talker.is_alive() for talker in company.talkers), "the talkers had ended before the first was replaced"
    company.wait()
    until(lambda: not old & {replica.id for replica in workers.replicas()}, 240, "the update did not end")
    compare("a rolling update", company)


def test_the_head_is_killed(talking, workers):
    company, compare = talking
    workers.kill_head()
    try:
        company.wait()
    finally:
        workers.start_head_again()
    compare("the head is killed: GCS, controller, dashboard, its HAProxy", company)


def test_the_proxy_of_a_node_is_killed(talking, workers):
    company, compare = talking
    workers.kill_haproxy(workers.workers[0])
    compare("HAProxy of a node is killed", company)


def test_a_node_is_killed(talking, workers):
    company, compare = talking
    node = next(node for node in workers.workers if any(r.pid in node.pids() for r in workers.running()))
    node.kill()
    try:
        company.wait()
    finally:
        node.start()
    compare("a node is killed: its workers, its HAProxy", company)
