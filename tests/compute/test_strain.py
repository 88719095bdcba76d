"""How hard a model works, with a clock of the test's own."""

import pytest

from hark.compute.load import WINDOW_S, Load
from hark.core.work import Strain, Urgency

ENDED, PAUSED, GROWING = Urgency


def test_a_model_that_has_done_nothing_is_not_strained():
    assert Load(callers=4).strain(0.0) == Strain(callers=4)


def test_work_is_told_apart_by_who_waits_for_it():
    load = Load(callers=2)
    for urgency, seconds in ((ENDED, 2.0), (PAUSED, 4.0), (GROWING, 8.0)):
        load.ran(5.0, seconds, urgency)
    strain = load.strain(5.0)
    assert strain.late == pytest.approx(2.0 / (2 * WINDOW_S))
    assert strain.final == pytest.approx(6.0 / (2 * WINDOW_S))


def test_all_but_the_longest_waits_are_told():
    load = Load(callers=1)
    for number in range(100):
        load.waited(1.0, number / 100)
    assert load.strain(1.0).wait_s == pytest.approx(0.95)


def test_what_is_over_is_forgotten():
    load = Load(callers=1)
    load.ran(0.0, 5.0, ENDED)
    load.waited(0.0, 5.0)
    assert load.strain(WINDOW_S).late == 0.5
    assert load.strain(WINDOW_S + 0.1) == Strain()
