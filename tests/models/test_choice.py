"""Which engine a machine gets where nobody names one."""

import sys

import pytest

from hark.models import choice, machine
from hark.models.base import Suits
from hark.models.choice import FALLBACK, Candidate, choose, chosen
from hark.models.machine import Machine, this_machine

MOONSHINE = Candidate(FALLBACK, Suits(cpu=50, memory_mb=300))
TURBO = Suits(gpu=90, memory_mb=3_000)
LARGE = Suits(gpu=80, memory_mb=6_000)
SMALL = Suits(gpu=30, cpu=20, memory_mb=1_000)
BETTER = Suits(cpu=70, memory_mb=2_000)
LAPTOP, GPU, SMALL_GPU = Machine(16_384), Machine(65_536, (81_920,)), Machine(16_384, (4_096, 2_048))


@pytest.mark.parametrize(
    ("others", "where", "name", "why"),
    [
        ([], LAPTOP, FALLBACK, "small and quick on a CPU"),
        ([], GPU, FALLBACK, "small and quick on a CPU"),
        # a plain install lists what it could have, and takes none of it
        ([Candidate("turbo", TURBO, installed=False, pulled=False)], GPU, FALLBACK, "small and quick on a CPU"),
        # gigabytes are named, not fetched
        ([Candidate("turbo", TURBO, pulled=False)], GPU, FALLBACK,
         "small and quick on a CPU; for the CUDA GPU run `hark pull turbo`"),
        ([Candidate("turbo", TURBO, pulled=False)], LAPTOP, FALLBACK, "small and quick on a CPU"),
        ([Candidate("turbo", TURBO)], GPU, "turbo", "the best that is pulled for a CUDA GPU of 80 GiB"),
        ([Candidate("turbo", TURBO)], LAPTOP, FALLBACK, "small and quick on a CPU"),
        ([Candidate("turbo", TURBO, installed=False)], GPU, FALLBACK, "small and quick on a CPU"),
        ([Candidate("large", LARGE), Candidate("turbo", TURBO)], GPU, "turbo",
         "the best that is pulled for a CUDA GPU of 80 GiB"),
        ([Candidate("large", LARGE), Candidate("small", SMALL)], SMALL_GPU, "small",
         "the best that is pulled for a CUDA GPU of 4 GiB"),
        ([Candidate("large", LARGE)], SMALL_GPU, FALLBACK, "small and quick on a CPU"),
        ([Candidate("small", SMALL)], LAPTOP, FALLBACK, "small and quick on a CPU"),
        ([Candidate("better", BETTER)], LAPTOP, "better", "the best that is pulled for a CPU with 16 GiB"),
        ([Candidate("better", BETTER)], Machine(1_024), FALLBACK, "small and quick on a CPU"),
        ([Candidate("better", BETTER, pulled=False)], LAPTOP, FALLBACK, "small and quick on a CPU"),
        ([Candidate("better", BETTER), Candidate("turbo", TURBO, pulled=False)], GPU, "better",
         "the best that is pulled for a CPU with 64 GiB; for the CUDA GPU run `hark pull turbo`"),
        ([Candidate("toy", Suits())], GPU, FALLBACK, "small and quick on a CPU"),
    ],
)  # fmt: skip
def test_the_rule(others, where, name, why):
    for candidates in ([MOONSHINE, *others], [*others, MOONSHINE]):
        picked = choose(candidates, where)
        assert (picked.name, picked.why) == (name, why)


def test_a_first_start_pulls_the_fallback():
    assert choose([Candidate(FALLBACK, Suits(cpu=50), pulled=False)], LAPTOP).name == FALLBACK


def test_the_machine_is_looked_at_where_it_matters(monkeypatch):
    looks = []
    monkeypatch.setattr(choice, "this_machine", lambda: looks.append(True) or GPU)
    assert chosen([MOONSHINE, Candidate("turbo", TURBO, installed=False)]).name == FALLBACK
    assert looks == []
    assert chosen([MOONSHINE, Candidate("turbo", TURBO)]).name == "turbo"
    assert looks == [True]


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says")
def test_this_machine():
    found = this_machine()
    assert 100 < found.memory_mb < 100_000_000
    assert all(100 < gpu < 10_000_000 for gpu in found.gpus_mb)


class Driver:
    """CUDA's driver as two GPUs have it."""

    def cuInit(self, flags):
        return 0

    def cuDeviceGetCount(self, count):
        count._obj.value = 2
        return 0

    def cuDeviceGet(self, device, ordinal):
        device._obj.value = ordinal + 10
        return 0

    def cuDeviceTotalMem_v2(self, size, device):
        size._obj.value = {10: 80 << 30, 11: 24 << 30}[device.value]
        return 0


def test_gpus_are_asked_of_the_driver(monkeypatch):
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: Driver())
    assert this_machine().gpus_mb == (81_920, 24_576)
    monkeypatch.setattr(Driver, "cuInit", lambda self, flags: 100)  # CUDA_ERROR_NO_DEVICE
    assert this_machine().gpus_mb == ()
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: object())
    assert this_machine().gpus_mb == ()
