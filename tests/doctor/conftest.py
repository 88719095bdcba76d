"""Walks in tests: to the pretender of OpenAI's service and to Hark, as `hark doctor` makes them."""

import asyncio

import numpy as np
import pytest

from hark.doctor import ground, sockets, speech
from hark.doctor.patient import Patient
from hark.doctor.report import report
from hark.doctor.target import target
from hark.doctor.walk import walk

SPEECH = np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)


@pytest.fixture
def impatient(monkeypatch):
    """What never comes is not waited for so long."""
    for module, name in (
        (sockets, "GREETING_S"),
        (speech, "UPDATE_S"),
        (speech, "TRANSCRIPT_S"),
        (ground, "CONNECT_S"),
    ):
        monkeypatch.setattr(module, name, 1.0)


@pytest.fixture
def examine():
    """The report on this URL."""

    def examined(url, credential=None, **options):
        async def steps():
            patient = Patient(target=target(url), credential=credential, **{"audio": SPEECH} | options)
            return [step async for step in walk(patient)]

        return report(url, asyncio.run(steps()))

    return examined
