"""What `hark ray` prints is what Ray takes, and what it is meant to do it does."""

import asyncio
import json
import os
import subprocess
import sys

import grpc
import grpc.aio
import pytest
import yaml

from conftest import PYTHON, ROOT
from hark.compute.cluster import serving, wire

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("HARK_", "RAY_"))}
PATIENCE_S = 30
STREAMS = 4

READ = """
import json, sys, yaml
from ray.serve.schema import ServeDeploySchema
told = yaml.safe_load(sys.stdin)
read = ServeDeploySchema.model_validate(told).model_dump(exclude_unset=True)
unknown = [key for key in told if key not in ServeDeploySchema.model_fields]
print(json.dumps([unknown, [app["name"] for app in read["applications"]], read["grpc_options"]]))
"""
KNOWN = """
import sys
from pathlib import Path
import ray
root = Path(ray.__file__).parent
texts = [path.read_bytes() for path in root.rglob("*.py")]
texts.append((root / "core/src/ray/raylet/raylet").read_bytes())  # where what begins in small letters is read
for name in sys.stdin.read().split():
    bare = name if name[4].isupper() else name.removeprefix("RAY_")
    if not any(bare.encode() in text for text in texts):
        print(name)
"""


def in_ray(script, text):
    run = subprocess.run(
        [PYTHON, "-W", "ignore", "-c", script], input=text, capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def printed(*arguments, folder="/"):
    command = [sys.executable, "-c", "from hark.cli.main import main; main()", "ray", "config", *arguments]
    environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environment).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--replicas", "3", "--host", "0.0.0.0", "--models-dir", "/models"],
        ["--aliases", "toy=scripted", "--gpus", "0.5", "--cpus", "0.5"],
    ],
    ids=["default", "fixed", "several"],
)
def test_serve_reads_it_and_knows_every_word(arguments):
    text = printed(*arguments)
    unknown, applications, grpc_options = json.loads(in_ray(READ, text))
    assert unknown == []
    assert applications == [each["name"] for each in yaml.safe_load(text)["applications"]]
    assert grpc_options["grpc_servicer_functions"] == [serving.SERVICER]


def test_what_stands_in_the_manifest_for_kubernetes_is_read_too():
    manifest = next(yaml.safe_load_all((ROOT / "deploy" / "kuberay.yaml").read_text("utf-8")))
    assert json.loads(in_ray(READ, manifest["spec"]["serveConfigV2"]))[0] == []


def test_ray_knows_every_variable():
    names = [each.name for each in serving.environment("token")]
    assert in_ray(KNOWN, "\n".join(names)) == ""
    assert in_ray(KNOWN, "RAY_SERVE_NO_SUCH_THING RAY_no_such_thing").split() == [
        "RAY_SERVE_NO_SUCH_THING", "RAY_no_such_thing",
    ]  # fmt: skip


def test_a_full_replica_refuses_what_is_more_and_lets_one_wait(make_cluster):
    cluster = make_cluster()
    told = yaml.safe_load(printed("--model", "scripted", "--cpus", "1", "--replicas", "1", "--streams", str(STREAMS)))
    del told["grpc_options"]["port"]  # the cluster has one of its own
    cluster.deploy({name: told[name] for name in ("grpc_options", "applications")})
    cluster.wait_until_healthy()
    asyncio.run(_crowd(cluster.grpc_addresses()[0]))


async def _crowd(address):
    """More streams than a replica takes, all at once: what each is told."""
    async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(PATIENCE_S):
        method = channel.stream_stream(f"/{wire.SERVICE}/{wire.METHOD}")
        calls = [method(metadata=((wire.APPLICATION, wire.application("scripted")),)) for _ in range(STREAMS + 4)]
        heard = {asyncio.create_task(call.read()): call for call in calls}
        waiting = set(heard)
        while len(waiting) > 1:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        told = [task for task in heard if task.done()]
        refused = [task.exception().code() for task in told if task.exception()]
        assert refused == [grpc.StatusCode.RESOURCE_EXHAUSTED] * 3
        greeted = [task for task in told if not task.exception()]
        assert all(isinstance(wire.answered(task.result()), wire.Hello) for task in greeted)
        assert len(greeted) == STREAMS
        heard[greeted[0]].cancel()  # its place is for the one that waits
        (last,) = waiting
        assert isinstance(wire.answered(await last), wire.Hello)
        for call in calls:
            call.cancel()
