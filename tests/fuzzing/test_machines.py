"""The state machines over the wire, for a moment, with the same examples each time. `make fuzz` looks for new ones."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from fuzz.wire.machines import MACHINES
from fuzz.wire.served import Served
from serving import PATIENCE_S

FEW = settings(
    max_examples=6, stateful_step_count=20, deadline=None, database=None, derandomize=True,
    suppress_health_check=list(HealthCheck), phases=[Phase.generate],
)  # fmt: skip


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    server = Served(tmp_path_factory.mktemp("served"), PATIENCE_S)
    yield server
    server.stop()


@pytest.mark.parametrize("name", MACHINES)
def test_any_events_in_any_order(process, name):
    machine = type(name, (MACHINES[name],), {"server": process})
    run_state_machine_as_test(machine, settings=FEW)
