"""Faults done to a Ray cluster on this machine: `make test-ray`. The cluster is cluster.py's; its processes run in
.clients/ray, or in the environment whose python `HARK_RAY_PYTHON` names.

Rule: a test leaves the cluster healthy for the next one, or says what it lacks.
"""

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from cluster import Cluster
from echoing import deploy_echoes

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = Path(os.environ.get("HARK_RAY_PYTHON", ROOT / ".clients" / "ray" / "bin" / "python"))


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.timeout(300))  # a head takes 15 s to come on a slow machine, a drain its grace


@pytest.fixture(scope="session")
def make_cluster():
    """Starts a cluster with these options; all are stopped when the tests have ended."""
    made = []

    def make(**options):
        made.append(Cluster(PYTHON, paths=[HERE, ROOT / "src"], **options))
        return made[-1].__enter__()

    yield make
    for cluster in made:
        cluster.stop()


@pytest.fixture(scope="session")
def echoes(make_cluster):
    """A cluster with three replicas of the echo app: what the harness itself is tried with."""
    cluster = make_cluster()
    deploy_echoes(cluster, replicas=3)
    return cluster
