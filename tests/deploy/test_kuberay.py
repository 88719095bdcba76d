"""deploy/kuberay.yaml holds together, and says what `hark ray` prints. No Kubernetes is asked.

`make test-ray` shows the configuration in it to Ray's own schema.
"""

import re

import pytest
import yaml
from test_deploy_files import DOCKERFILE, KUBERNETES, said

from documents import ROOT
from hark.cli.main import main
from hark.compute.cluster import serving
from hark.compute.cluster.address import PORT, ingress
from hark.config import Settings

TEXT = (ROOT / "deploy" / "kuberay.yaml").read_text("utf-8")
MANIFESTS = {(each["kind"], each["metadata"]["name"]): each["spec"] for each in yaml.safe_load_all(TEXT)}
CLUSTER = MANIFESTS["RayService", "hark-workers"]["rayClusterConfig"]
HEAD = CLUSTER["headGroupSpec"]
GROUPS = {group["groupName"]: group for group in CLUSTER["workerGroupSpecs"]}
CONFIG = yaml.safe_load(MANIFESTS["RayService", "hark-workers"]["serveConfigV2"])
GATEWAY = MANIFESTS["Deployment", "hark-gateway"]["template"]["spec"]


def pods():
    return [HEAD["template"], *(group["template"] for group in GROUPS.values())]


def container(template):
    (only,) = template["spec"]["containers"]
    return only


def labels(template):
    return template["metadata"]["labels"].items()


@pytest.fixture
def alone(monkeypatch, tmp_path):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"HARK_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_configuration_is_what_the_command_prints(alone, monkeypatch, capsys):
    command = said(TEXT, r"As printed by: hark (ray config .*)$")
    monkeypatch.setattr("sys.argv", ["hark", *command.split()])
    with pytest.raises(SystemExit):
        main()
    assert MANIFESTS["RayService", "hark-workers"]["serveConfigV2"] == capsys.readouterr().out


def test_every_pod_has_the_environment_that_nodes_need():
    for template in pods():
        told = {each["name"]: each["value"] for each in container(template)["env"] if "value" in each}
        assert told == {each.name: each.value for each in serving.VARIABLES}
    assert CLUSTER["authOptions"] == {"mode": "token"}  # from which KubeRay makes RAY_AUTH_MODE


def test_ray_is_the_one_of_the_lock():
    locked = re.search(r"^ray==(\S+)", (ROOT / "requirements" / "ray.txt").read_text("utf-8"), re.MULTILINE)[1]
    assert CLUSTER["rayVersion"] == locked


def test_gateways_ask_where_workers_listen():
    assert CONFIG["http_options"]["host"] == "0.0.0.0"
    (address,) = ingress(GATEWAY["containers"][0]["args"][-1]).addresses
    name, _, port = address.partition(":")
    service = MANIFESTS["Service", name]
    assert service["clusterIP"] == "None"
    assert int(port) == PORT == CONFIG["grpc_options"]["port"] == service["ports"][0]["port"]
    for group in GROUPS.values():
        assert service["selector"].items() <= labels(group["template"])
        ports = {each["name"]: each["containerPort"] for each in container(group["template"])["ports"]}
        assert ports == {"grpc": PORT, "serve": CONFIG["http_options"]["port"]}
        assert service["ports"][0]["targetPort"] in ports
    assert not service["selector"].items() <= labels(HEAD["template"])  # it runs no replica


def test_what_is_selected_is_what_is_labelled():
    gateways = MANIFESTS["Deployment", "hark-gateway"]
    assert gateways["selector"]["matchLabels"].items() <= labels(gateways["template"])
    assert MANIFESTS["Service", "hark-gateway"]["selector"].items() <= labels(gateways["template"])
    chosen = MANIFESTS["PodDisruptionBudget", "hark-gateway"]["selector"]["matchLabels"]
    assert chosen.items() <= labels(gateways["template"])
    workers = MANIFESTS["PodDisruptionBudget", "hark-workers"]["selector"]["matchLabels"]
    for group in GROUPS.values():
        assert workers.items() <= labels(group["template"])


def test_only_gateways_reach_the_workers_from_outside():
    policy = MANIFESTS["NetworkPolicy", "hark-ray"]
    for template in pods():
        assert policy["podSelector"]["matchLabels"].items() <= labels(template)
    inside, gateways, operator = policy["ingress"]
    assert inside == {"from": [{"podSelector": policy["podSelector"]}]}
    assert [each["port"] for each in gateways["ports"]] == [PORT]
    (source,) = gateways["from"]
    assert source["podSelector"]["matchLabels"].items() <= labels(MANIFESTS["Deployment", "hark-gateway"]["template"])
    assert PORT not in [each["port"] for each in operator["ports"]]


def test_a_pod_has_room_for_replicas_and_for_their_end():
    (deployment,) = CONFIG["applications"][0]["deployments"]
    for group in GROUPS.values():
        cores = int(container(group["template"])["resources"]["limits"]["cpu"])
        assert cores % deployment["ray_actor_options"]["num_cpus"] == 0
        assert group["template"]["spec"]["terminationGracePeriodSeconds"] > deployment["graceful_shutdown_timeout_s"]
    assert CLUSTER["autoscalerOptions"]["idleTimeoutSeconds"] > deployment["graceful_shutdown_timeout_s"]
    cpu = GROUPS["cpu"]
    each = int(container(cpu["template"])["resources"]["limits"]["cpu"]) // deployment["ray_actor_options"]["num_cpus"]
    assert cpu["maxReplicas"] * each >= deployment["autoscaling_config"]["max_replicas"]
    assert container(GROUPS["gpu"]["template"])["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_the_image_is_the_one_that_is_built_and_its_user():
    lock, image = re.search(r"docker build .*--build-arg LOCK=(\w+) -t (\S+) \.$", TEXT, re.MULTILINE).groups()
    assert (ROOT / "requirements" / f"{lock}.txt").exists()
    assert re.search(r"^ARG LOCK=base$", DOCKERFILE, re.MULTILINE)
    assert {container(template)["image"] for template in pods()} == {image} == {GATEWAY["containers"][0]["image"]}
    user = int(said(DOCKERFILE, r"^USER (\d+):\d+$"))
    for spec in (GATEWAY, *(template["spec"] for template in pods())):
        rights = spec["securityContext"]
        assert {rights["runAsUser"], rights["runAsGroup"], rights["fsGroup"]} == {user}
        assert rights["runAsNonRoot"] is True


def test_what_is_read_is_made_as_the_head_of_the_file_says():
    made = dict(re.findall(r"create secret generic (\S+) --from-literal=([\w-]+)=", TEXT))
    password = CLUSTER["gcsFaultToleranceOptions"]["redisPassword"]["valueFrom"]["secretKeyRef"]
    assert made[password["name"]] == password["key"]
    (secret,) = [volume["secret"] for volume in GATEWAY["volumes"] if "secret" in volume]
    environment = {each["name"]: each["value"] for each in GATEWAY["containers"][0]["env"] if "value" in each}
    assert environment["HARK_API_KEY_FILE"] == f"/secrets/{made[secret['secretName']]}"


def test_workers_and_gateways_have_one_token():
    made = dict(re.findall(r"create secret generic (\S+) --from-literal=([\w-]+)=", TEXT))
    for one in (GATEWAY["containers"][0], *map(container, pods())):
        (read,) = [each["valueFrom"]["secretKeyRef"] for each in one["env"] if each["name"] == "HARK_COMPUTE_TOKEN"]
        assert made[read["name"]] == read["key"]


def test_gateways_are_kept_as_other_servers_are():
    other = KUBERNETES["Deployment"]["spec"]["template"]["spec"]
    for name in ("terminationGracePeriodSeconds", "securityContext", "volumes", "automountServiceAccountToken"):
        assert GATEWAY[name] == other[name]
    for name in ("startupProbe", "livenessProbe", "readinessProbe", "lifecycle", "volumeMounts", "securityContext"):
        assert GATEWAY["containers"][0][name] == other["containers"][0][name]
    told = GATEWAY["containers"][0]["env"]
    assert all(each in told for each in other["containers"][0]["env"]), "their address for each other, too"
