"""The cluster of cluster.py does what the tests of Hark on it build upon."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import grpc
import pytest
from echoing import deploy_echoes, streams
from keeper import descendants
from raynode import read


def until(what, holds, within=60):
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"no {what} within {within} s"
        time.sleep(0.1)


def argv(pid):
    """Nothing of a process that has ended, also while nobody has reaped it."""
    return [word for word in read(pid, "cmdline").split(b"\0") if word]


def test_streams_are_spread_over_the_replicas(echoes):
    with streams(echoes.grpc_addresses()[0], 9) as opened:
        spread = Counter(stream.say() for stream in opened)
    assert spread == dict.fromkeys((replica.pid for replica in echoes.running()), 3)


def test_a_killed_replica_ends_its_own_streams_alone_and_is_replaced(echoes):
    victim = echoes.running()[0]
    with streams(echoes.grpc_addresses()[0], 9) as opened:
        homes = [stream.say() for stream in opened]
        echoes.kill_replica(victim.pid)
        for stream, home in zip(opened, homes, strict=True):
            if home == victim.pid:
                with pytest.raises(grpc.RpcError):
                    stream.say()
            else:
                assert stream.say() == home
        with streams(echoes.grpc_addresses()[0], 3) as again:
            assert victim.pid not in {stream.say() for stream in again}
        until("replacement", lambda: len({replica.id for replica in echoes.running()} - {victim.id}) == 3)
    echoes.wait_until_healthy()


def test_a_frozen_replica_gets_no_new_stream_and_goes_on_when_thawed(echoes):
    (worker,) = echoes.workers
    victim = echoes.running()[0].pid
    with streams(echoes.grpc_addresses()[0], 9) as opened:
        homes = [stream.say() for stream in opened]
        echoes.freeze(victim)
        try:
            until("server DOWN", lambda: echoes.servers(worker) == {"UP": 2, "DOWN": 1})
            with streams(echoes.grpc_addresses()[0], 6) as further:
                assert victim not in {stream.say() for stream in further}
        finally:
            echoes.thaw(victim)
        assert [stream.say() for stream in opened] == homes
    echoes.wait_until_healthy()


def test_scaling_takes_a_replica_out_and_leaves_its_streams_their_grace(echoes):
    (worker,) = echoes.workers
    with streams(echoes.grpc_addresses()[0], 9) as opened:
        homes = [stream.say() for stream in opened]
        echoes.scale(2)
        until("two servers", lambda: sum(echoes.servers(worker).values()) == 2)
        assert [stream.say() for stream in opened] == homes
    until("two replicas", lambda: len(echoes.replicas()) == 2)
    echoes.scale(3)
    echoes.wait_until_healthy()


def test_an_update_replaces_every_replica(echoes):
    before = {replica.id for replica in echoes.running()}
    echoes.update({"version": "later"})
    until("new replicas", lambda: not before & {replica.id for replica in echoes.replicas()}, within=120)
    echoes.wait_until_healthy()


def test_a_killed_haproxy_comes_again(echoes):
    (worker,) = echoes.workers
    killed = set(echoes.kill_haproxy(worker))
    until("HAProxy", lambda: set(worker.haproxies()) - killed, within=90)
    echoes.wait_until_healthy()


def test_streams_outlive_the_head_and_the_head_comes_again(echoes):
    with streams(echoes.grpc_addresses()[0], 9) as opened:
        homes = [stream.say() for stream in opened]
        echoes.kill_head()
        assert not echoes.head.pids()
        assert [stream.say() for stream in opened] == homes
        victim = homes[0]
        echoes.kill_replica(victim)
        with pytest.raises(grpc.RpcError):
            opened[0].say()
        with streams(echoes.grpc_addresses()[0], 3) as again:
            assert victim not in {stream.say() for stream in again}
        echoes.start_head_again()
        echoes.wait_until_healthy()
        assert set(homes) - {victim} < {replica.pid for replica in echoes.running()}
        for stream, home in zip(opened, homes, strict=True):
            if home != victim:
                assert stream.say() == home


def test_a_worker_is_killed_and_what_goes_through_the_other_stays(make_cluster):
    cluster = make_cluster(workers=2, slots=2)
    deploy_echoes(cluster, replicas=2)
    (one, other), (lost, kept) = cluster.running(), cluster.workers
    if one.pid not in lost.pids():
        one, other = other, one
    assert one.pid in lost.pids() and other.pid in kept.pids(), "the replicas were not spread over the nodes"
    through = cluster.grpc_addresses()[1]
    with streams(through, 4) as opened:
        homes = [stream.say() for stream in opened]
        assert set(homes) == {one.pid, other.pid}
        lost.kill()
        for stream, home in zip(opened, homes, strict=True):
            if home == other.pid:
                assert stream.say() == home
            else:
                with pytest.raises(grpc.RpcError):
                    stream.say()
        until("replacement", lambda: len({replica.id for replica in cluster.running()} - {one.id}) == 2)
        until("two servers", lambda: cluster.servers(kept) == {"UP": 2})
        with streams(through, 4) as again:
            assert one.pid not in {stream.say() for stream in again}
    cluster.start_node(lost)
    cluster.wait_until_healthy()
    cluster.stop()


def test_stopping_leaves_no_process_and_no_file(make_cluster):
    cluster = make_cluster()
    pids = [pid for node in (cluster.head, *cluster.workers) for pid in node.pids()]
    assert len(pids) > 8
    cluster.stop()
    assert not any(map(argv, pids))
    assert not cluster.folder.exists()


@pytest.mark.parametrize("whom", ["the test", "the test's group"])
def test_what_a_killed_test_started_ends_with_it(whom):
    orphan = "[sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True"
    orphaning = f"import subprocess, sys; subprocess.Popen({orphan})"
    keeper = [sys.executable, str(Path(__file__).with_name("keeper.py")), sys.executable, "-c", orphaning]
    script = f"import subprocess, time; print(subprocess.Popen({keeper}, stdin=subprocess.PIPE).pid, flush=True)"
    test = subprocess.Popen(
        [sys.executable, "-c", f"{script}; time.sleep(600)"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    kept = int(test.stdout.readline())
    until("orphan", lambda: any(b"import time; time.sleep(600)" in argv(pid) for pid in descendants(kept)))
    orphans = descendants(kept)
    if whom == "the test":
        os.kill(test.pid, signal.SIGKILL)
    else:
        os.killpg(test.pid, signal.SIGTERM)
    test.wait()
    until("end of the orphans", lambda: not any(map(argv, (kept, *orphans))))
    test.stdout.close()
