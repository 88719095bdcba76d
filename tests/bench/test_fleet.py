"""The simulator of many machines: its queue by formulas and by the server's own, and what it must never lose."""

import json
import math
import random
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from itertools import pairwise

import pytest

from documents import ROOT, page
from fleet_cell import Cell
from fleet_day import Player
from fleet_inputs import LEAD_S, TAIL_S, Batching, load
from fleet_page import digest, inputs_lines, plan_lines, written
from fleet_plan import plan
from fleet_talk import HOUR, Talk, arrivals, early, level, partials
from fleet_worker import ENDED, GROWING, PAUSED, Clock, Replica, Turn
from hark.compute.batching import Limits, Queue
from hark.compute.cluster import feed, remote
from hark.config import Settings
from hark.core.work import SAMPLE_RATE, Transcribe, Urgency
from hark.errors import CallerError, OperatorError

INPUTS = load()
SERVICE_S = 0.1


class Holder:
    """A session, as far as a replica looks at it."""

    def __init__(self, replica):
        self.replica = replica


def said(replica, seconds, now=0.0):
    """A turn of which so much audio is worth transcribing, and whose talker has paused."""
    turn = Turn(Holder(replica), [(0.0, seconds - LEAD_S - TAIL_S)], now)
    turn.said, turn.speaking = 1, False
    return turn


# ---- the queue -----------------------------------------------------------------------------------------------------


def waits(callers, load_):
    """The mean wait of requests that come at random, each alone in its batch."""
    clock, chance, asked, found = Clock(), random.Random(1), {}, []

    def answer(turn):
        found.append(clock.now - asked[turn] - SERVICE_S)

    replica = Replica(clock, Batching(callers, 1, math.inf, lambda size, longest: SERVICE_S), answer, draft_share=1.0)

    def come(left):
        turn = said(replica, 2.0, clock.now)
        asked[turn] = clock.now
        replica.ask(turn, ENDED)
        if left:
            clock.at(clock.now + chance.expovariate(load_ * callers / SERVICE_S), come, left - 1)

    clock.at(0.0, come, 40_000)
    clock.run(math.inf)
    assert len(found) == 40_001
    return sum(found) / len(found)


@pytest.mark.parametrize(("callers", "load_"), [(1, 0.5), (1, 0.8), (4, 0.8)])
def test_without_batches_it_is_the_queue_of_the_books(callers, load_):
    """M/D/1 by Pollaczek and Khinchine; M/D/c by Cosmetatos's approximation (1975) of half of M/M/c."""
    offered = callers * load_
    below = sum(offered**k / math.factorial(k) for k in range(callers))
    full = offered**callers / math.factorial(callers) / (1 - load_)
    waiting = full / (below + full)
    mmc = waiting * SERVICE_S / (callers * (1 - load_))
    correction = (1 - load_) * (callers - 1) * (math.sqrt(4 + 5 * callers) - 2) / (16 * load_ * callers)
    assert waits(callers, load_) == pytest.approx(mmc / 2 * (1 + correction), rel=0.08)


@pytest.mark.parametrize("seed", range(40))
def test_batches_are_those_that_the_server_forms(seed):
    chance = random.Random(seed)
    callers = chance.choice([1, 4])
    clock, real = Clock(), Queue(Limits(8, 8.0, callers=callers))
    replica = Replica(
        clock, Batching(callers, 8, 8.0, lambda size, longest: 1e9), lambda turn: None, draft_share=1.0
    )  # fmt: skip
    replica.frozen = True  # so that it takes nothing before all are there
    turns = {}
    clock.now = 100.0
    kinds = [ENDED, PAUSED, GROWING]
    asked = [(chance.choice(kinds), chance.uniform(0.4, 6.0), number) for number in range(chance.randint(1, 20))]
    # What is due longest was asked first, and is the longest here, as all of it began without a pause.
    grown = sorted((one for one in asked if one[0] == GROWING), key=lambda one: -one[1])
    for urgency, seconds, number in [*(one for one in asked if one[0] != GROWING), *grown]:
        if urgency == GROWING:
            turn = Turn(Holder(replica), [(0.0, 30.0)], clock.now + LEAD_S - seconds)
            replica.grow(turn)
        else:
            turn = said(replica, seconds)
            replica.ask(turn, urgency)
        turns[turn] = number
        work = Transcribe(number, "any", range(round(seconds * SAMPLE_RATE)), Urgency(urgency))
        real.add(work, number)
    replica.frozen = False
    for _ in range(callers):
        batch, urgency = replica._take()
        assert [turns[turn] for turn, _, _ in batch] == [entry.work.id for entry in real.take()]
        if batch:
            replica._start(batch, urgency)


def test_what_was_asked_in_a_pause_counts_when_the_turn_has_ended():
    clock, answered = Clock(), []
    replica = Replica(clock, Batching(1, 8, 8.0, lambda size, longest: 1.0), answered.append, draft_share=1.0)
    first, second, third = (said(replica, 2.0) for _ in range(3))
    replica.ask(first, PAUSED)  # runs
    replica.ask(second, PAUSED)
    replica.ask(third, ENDED)
    replica.urge(second)  # came before the third, and is as urgent now: they go together
    clock.run(2.0)
    assert answered == [first, second, third]
    assert replica.requests == [2, 1, 0]


# ---- talk ----------------------------------------------------------------------------------------------------------


def test_people_come_as_the_day_says():
    day = INPUTS.day
    hours = Counter(int(when // HOUR) for when in arrivals(day, 2.0, 0.0, 24 * HOUR, random.Random(3)))
    for hour in range(24):
        due = 2.0 * HOUR * (day[hour] + day[(hour + 1) % 24]) / 2
        assert abs(hours[hour] - due) < 5 * math.sqrt(due)
    assert level(day, 9.5 * HOUR) == pytest.approx((day[9] + day[10]) / 2)


def test_people_talk_as_was_measured():
    talk = Talk(INPUTS, 1)
    turns = [talk.turn() for _ in range(20_000)]
    runs = [until - first for turn in turns for first, until in turn]
    assert sum(runs) / len(runs) == pytest.approx(INPUTS.run_mean_s, rel=0.05)
    assert len(runs) / len(turns) == pytest.approx(INPUTS.runs_a_turn, rel=0.03)
    spoken = sum(turn[-1][1] for turn in turns) / len(turns)
    assert spoken / talk.cycle_s == pytest.approx(INPUTS.speech_share, rel=0.05)


def test_a_turn_asks_for_what_a_job_would():
    runs = [(0.0, 2.0), (2.1, 4.0), (4.4, 5.0)]  # the first pause is too short to be noticed
    assert list(early(runs)) == pytest.approx([4.0 + LEAD_S + TAIL_S, 5.0 + LEAD_S + TAIL_S])
    asked = list(partials([(0.0, 6.0)]))
    steps = [later - sooner for sooner, later in pairwise(asked)]
    assert steps[0] == pytest.approx(0.32)
    assert steps[-1] == pytest.approx(asked[-1] / 12)  # PARTIAL_SHARE, of the length that is asked about


# ---- a cell --------------------------------------------------------------------------------------------------------


def some_hours(seed=1, **options):
    return Player(INPUTS, **{"kind": "cpu", "sessions": 240, "first_h": 9.0, "hours": 0.35, "seed": seed} | options)


@pytest.fixture(scope="module")
def day():
    return some_hours().play()


def test_every_turn_ends_once(day):
    counts = day.counts
    ends = counts["completed"] + counts["failed"] + counts["cut"] + counts["lost_turns"] + counts["dropped"]
    assert counts["begun"] == ends
    assert day.turns == counts["completed"] + counts["failed"] > 5_000


def test_no_turn_is_lost_with_a_worker(day):
    assert len(day.incidents) == 8
    for incident in day.incidents:
        lost = incident.counts["lost_turns"]
        assert (lost > 0) == (incident.name == "a gateway is lost"), incident
        assert incident.counts["cut"] == 0
        if "worker is" in incident.name or "with workers" in incident.name:
            assert incident.counts["replays"] > 0, incident


def test_a_frozen_worker_is_left_after_the_stall_timer(day):
    (frozen,) = (one for one in day.incidents if one.name == "a worker is frozen")
    assert frozen.longest_s > 1.0  # 1.5 s less the silence for which nobody waited yet
    assert frozen.longest_s < 60.0


def test_one_seed_gives_one_day():
    few, other = some_hours(sessions=60), some_hours(sessions=60, seed=2)
    once = asdict(few.play())
    assert asdict(some_hours(sessions=60).play()) == once
    assert asdict(other.play()) != once


def streams_after_one_more(inputs):
    cell = Cell(inputs, kind="cpu", gateways=1, sessions_each=900, replicas=2, target=400, seed=1, scales=False)
    cell.fill(300)
    cell.cluster._add()
    cell.clock.run(70.0)
    return [len(worker.sessions) for worker in cell.cluster.workers]


def test_streams_find_a_new_replica_by_rotation_alone():
    stay = {"session_s": 1e6, "session_log_sd": 0.1}
    assert min(streams_after_one_more(INPUTS.replaced(**stay))) > 80
    assert streams_after_one_more(INPUTS.replaced(**stay, rotation_s=1e6))[2] == 0


def test_who_finds_no_room_is_refused():
    cell = Cell(INPUTS, kind="cpu", gateways=2, sessions_each=20, replicas=2, target=400, seed=1)
    cell.fill(100)
    cell.clock.run(60.0)
    assert len(cell.open) <= 40
    assert cell.counts.refused > 40
    assert all(len(gateway.sessions) <= 20 for gateway in cell.gateways)


def test_an_update_replaces_a_fifth_at_a_time_and_cuts_no_stream():
    cell = Cell(INPUTS, kind="cpu", gateways=1, sessions_each=900, replicas=10, target=40, seed=1, scales=False)
    cell.fill(300)
    cell.clock.run(10.0)
    cluster, serving = cell.cluster, []
    cluster.update()
    while cluster.updating:
        cell.clock.run(cell.clock.now + 1.0)
        serving.append(cluster.serving)
        assert cell.clock.now < HOUR
    assert min(serving) == 8
    cell.clock.run(cell.clock.now + 10.0)  # the last have to start yet
    assert [worker.version for worker in cluster.workers if worker.open] == [1] * 10
    assert cell.counts.moved == 0
    assert all(session.replica is not None for session in cell.open)


def test_replicas_follow_the_streams_after_their_delays():
    inputs = INPUTS.replaced(session_s=1e6)
    cell = Cell(inputs, kind="cpu", gateways=1, sessions_each=900, replicas=2, target=50, seed=1)
    cell.fill(130)
    cell.clock.run(inputs.up_delay_s + inputs.machine_start_s + 30)
    assert cell.cluster.serving == 3
    for session in list(cell.open)[:100]:
        session.gone = True
        cell._leave(session)
    cell.clock.run(cell.clock.now + inputs.down_delay_s - 60)
    assert cell.cluster.serving == 3
    cell.clock.run(cell.clock.now + 60 + inputs.grace_s)
    assert [worker.open for worker in cell.cluster.workers] == [True, True]


# ---- the plan and the page -----------------------------------------------------------------------------------------


def test_the_arithmetic_follows_its_inputs():
    usual, twice = plan(INPUTS), plan(INPUTS.replaced(sessions=2 * INPUTS.sessions))
    assert twice.gateway_cores_busy == pytest.approx(2 * usual.gateway_cores_busy)
    sockets = plan(INPUTS.replaced(rtc_share=0.0))
    assert sockets.gateway_machines < usual.gateway_machines / 2
    assert {line[0]: line[1] for line in sockets.lines}["calls by WebRTC"] == "0"
    # What ends something takes `load` of a replica's time at its target.
    turn = usual.turn
    assert usual.target["cpu"] * usual.turns_per_s * turn.ends_cpu_s / INPUTS.caller_cores <= INPUTS.load
    for gateway in (usual, sockets):
        room = gateway.gateway_machines * INPUTS.machine_cores * INPUTS.load
        assert gateway.gateway_cores_busy <= room < 1.2 * gateway.gateway_cores_busy


def test_every_figure_says_where_it_is_from():
    assert all(figure.what and figure.source for figure in INPUTS.figures.values())
    with pytest.raises(CallerError, match="no 'bogus'"):
        INPUTS.replaced(bogus=1)
    with pytest.raises(AttributeError, match="no figure 'bogus'"):
        INPUTS.bogus  # noqa: B018


def test_the_page_says_what_is_reckoned():
    text = page("docs/scaling.md")
    assert written(text, "inputs", inputs_lines(INPUTS)) == text
    assert written(text, "plan", plan_lines(INPUTS)) == text
    assert f"Inputs {digest(INPUTS)}," in text, "the simulation on the page had other inputs: run `make fleet`"
    with pytest.raises(OperatorError):
        written(text, "nothing", iter(()))


def test_the_command_plays_a_part_of_a_day(tmp_path):
    told = tmp_path / "day.json"
    command = [sys.executable, ROOT / "benchmarks" / "fleet.py", "day", "--kind", "gpu", "--sessions", "200"]
    command += ["--first-hour", "9", "--hours", "0.3", "--set", "speech_share=0.3", "--json", told]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    run = json.loads(told.read_text("utf-8"))
    assert run["sessions"] == 200
    assert run["turns"] > 1_000
    assert run["counts"]["failed"] == 0


def test_the_patience_is_that_of_the_gateways():
    inputs = load()
    assert (inputs.stall_s, inputs.greeting_s) == (feed.STALL_S, feed.GREETING_S)
    assert inputs.held_s == remote.HELD_S
    assert inputs.given_up_s == feed.GIVEN_UP_S
    assert inputs.rotation_s == Settings(_env_file=None).compute_rotate_seconds
