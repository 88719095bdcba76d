"""Faults done to a Ray cluster on this machine: `make test-ray`. The cluster is cluster.py's; its processes run in
.clients/ray, or in the environment whose python `HARK_RAY_PYTHON` names.

Rule: a test leaves the cluster healthy for the next one, or says what it lacks.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "faults"))
sys.path.append(str(Path(__file__).parents[1] / "speech"))

from cluster import Cluster
from echoing import deploy_echoes
from measured import Rows
from standing import Hark

from hark.models.files.pull import models_folder

HERE = Path(__file__).parent
SESSIONS = 30
ALL = 8  # rows, the undisturbed one too
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


@pytest.fixture(scope="session")
def clips(recording):
    """What is played: eleven turns in three quarters of a minute, in three orders. They are those of tests/faults,
    whose words do not depend on which partial hypotheses come in time, and begin on the voice detector's grid."""
    beckett, cities = recording("beckett"), recording("two_cities")
    parts = [beckett, cities[: round(13.2 * 16_000)], cities[round(8.5 * 16_000) : round(24.5 * 16_000)]]
    parts = [np.pad(part, (0, 16_384 + -len(part) % 512)) for part in parts]
    return [np.concatenate((*parts[first:], *parts[:first])) for first in range(3)]


@pytest.fixture(scope="session")
def workers(make_cluster, samples):
    """Three replicas of a real model on two nodes beside the head."""
    cluster = make_cluster(workers=2, slots=3, variables={"HARK_MODELS_DIR": str(models_folder())})
    cluster.deploy(
        {
            "grpc_options": {"grpc_servicer_functions": ["hark.compute.cluster.service.add_transcriber_to_server"]},
            "applications": [
                {
                    "name": "hark-moonshine-tiny-en",
                    "route_prefix": "/hark-moonshine-tiny-en",
                    "import_path": "hark.compute.cluster.ray_serve:application",
                    "args": {"model": "moonshine-tiny-en", "threads": 1},
                    "deployments": [
                        {
                            "name": "Transcriber",
                            "num_replicas": 3,
                            "max_ongoing_requests": 200,
                            "graceful_shutdown_timeout_s": 120,
                        }
                    ],
                }
            ],
        }
    )
    return cluster


@pytest.fixture(scope="session")
def gateway(workers, tmp_path_factory):
    """A server whose engines are these, and whose sessions look for another worker every few seconds."""
    url = "ray://" + ",".join(workers.grpc_addresses())
    server = Hark(tmp_path_factory.mktemp("gateway"), "--compute", url, "--compute-rotate-seconds", "8")
    yield server
    try:
        server.stop()
    finally:
        server.kill()


@pytest.fixture(scope="session")
def measured(request):
    """Takes what happened and how many seconds the worst wait was. The page is written when all of it was run."""
    rows = Rows()
    yield rows
    print("".join(f"\n{fault}: {seconds:.2f} s, {bound} s" for fault, (seconds, bound) in rows.rows.items()))
    if rows.counts and len(rows.rows) == ALL and not request.session.testsfailed:
        rows.write(SESSIONS)
