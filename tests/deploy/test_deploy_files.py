"""deploy/ tells the truth: what its files name is there, and what one of them says of another holds.

`make test-deploy` carries the Dockerfile out; here it is read.
"""

import re
import shutil
import subprocess

import httpx
import pytest
import yaml

from documents import ROOT, page
from hark.cli import supervisor
from hark.cli.main import app
from hark.config import Settings

FOLDER = ROOT / "deploy"
FILES = {path.name: path.read_text("utf-8") for path in FOLDER.iterdir() if path.is_file()}
GUIDE = page("docs/operations.md")
DOCKERFILE, UNIT = FILES["Dockerfile"], FILES["hark.service"]
COMPOSE = yaml.safe_load(FILES["compose.yaml"])["services"]["hark"]
KUBERNETES = {each["kind"]: each for each in yaml.safe_load_all(FILES["kubernetes.yaml"])}
POD = KUBERNETES["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
# What an orderly end may take past the time that sessions are given.
MARGIN_S = 10


def said(text, pattern):
    """The one thing that all places say."""
    (found,) = set(re.findall(pattern, text, re.MULTILINE))
    return found


@pytest.mark.parametrize("name", [*FILES, "docs/operations.md"])
def test_every_variable_is_an_option(name):
    text = FILES.get(name, GUIDE)
    options = {f"HARK_{option.upper()}" for option in Settings.model_fields}
    assert set(re.findall(r"\bHARK_[A-Z_]*[A-Z]\b", text)) <= options


@pytest.mark.parametrize("name", [*FILES, "docs/operations.md"])
def test_every_command_is_one_and_has_its_flags(name):
    text = FILES.get(name, GUIDE).replace("\\\n", " ")
    for path, flags in re.findall(r"\bhark (serve|pull|doctor|bench|models|keys \w+|ray \w+)\b([^\n`;&|#]*)", text):
        group = app
        for word in path.split():
            group = group[word]
        known = {name for argument in group.assemble_argument_collection() for name in argument.names}
        assert set(re.findall(r"(?<!\S)--[a-z-]+", flags)) <= known, (path, flags)


def test_the_port_is_the_same_everywhere():
    port = Settings.model_fields["port"].default
    ports = [
        said(DOCKERFILE, r"^EXPOSE (\d+)$"),
        said(DOCKERFILE, r"HARK_PORT=(\d+)"), said(FILES["health.py"], r"[\"'](\d{4})[\"']"),
        said(FILES["nginx.conf"], r"server 127\.0\.0\.1:(\d+)"), said(FILES["Caddyfile"], r"proxy 127\.0\.0\.1:(\d+)"),
        said(FILES["haproxy.cfg"], r"server one 127\.0\.0\.1:(\d+)"), said(FILES["kubernetes.yaml"], r"POD_IP\):(\d+)"),
        CONTAINER["ports"][0]["containerPort"], KUBERNETES["Service"]["spec"]["ports"][0]["port"],
        *COMPOSE["ports"][0].split(":"),
    ]  # fmt: skip
    assert {int(each) for each in ports} == {port}
    assert KUBERNETES["Service"]["spec"]["ports"][0]["targetPort"] == CONTAINER["ports"][0]["name"]


def test_the_user_is_the_same_everywhere_and_not_root():
    user = said(DOCKERFILE, r"^USER (\d+):\d+$")
    assert user == said(DOCKERFILE, r"--uid (\d+)") == said(DOCKERFILE, r"--gid (\d+)")
    rights = POD["securityContext"]
    assert {rights["runAsUser"], rights["runAsGroup"], rights["fsGroup"]} == {int(user)}
    assert f"user {user}" in FILES["compose.yaml"]


def test_what_is_copied_is_there_and_is_sent():
    sent = {line[1:] for line in FILES["Dockerfile.dockerignore"].split() if line.startswith("!")}
    copied = [word for line in re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()]
    assert set(copied) == sent
    assert all((ROOT / each).exists() for each in copied)


def test_dependencies_come_by_hash():
    installs = re.findall(r"pip install ([^\\&\n]*)", DOCKERFILE)
    assert len(installs) == 3
    for each in installs:
        assert "--no-deps" in each
        assert "--require-hashes" in each or "--no-index /wheels/" in each


def grace(name):
    """Seconds from SIGTERM to SIGKILL."""
    match name:
        case "compose.yaml":
            return int(COMPOSE["stop_grace_period"].removesuffix("s"))
        case "hark.service":
            return int(said(UNIT, r"^TimeoutStopSec=(\d+)$"))
        case "kubernetes.yaml":
            wait = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
            assert wait[0] == "sleep"
            return POD["terminationGracePeriodSeconds"] - int(wait[1])


@pytest.mark.parametrize("name", ["compose.yaml", "hark.service", "kubernetes.yaml"])
def test_nobody_is_killed_before_his_time(name):
    drains = [field.default for option, field in Settings.model_fields.items() if option.startswith("drain")]
    longest = supervisor.STOP_S + sum(each for each in drains if isinstance(each, int | float))
    assert grace(name) >= longest + MARGIN_S


def test_what_the_probes_ask_for_is_there(server):
    probes = [CONTAINER[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    asked = {probe["path"] for probe in probes} | {said(FILES["health.py"], r"}(/\w+)")}
    assert {path: httpx.get(server.url + path).status_code for path in asked} == dict.fromkeys(asked, 200)
    assert {probe["port"] for probe in probes} == {CONTAINER["ports"][0]["name"]}


# ---- Kubernetes


def test_what_is_selected_is_what_is_labelled():
    labels = KUBERNETES["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert KUBERNETES["Service"]["spec"]["selector"] == labels
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert KUBERNETES[kind]["spec"]["selector"]["matchLabels"] == labels


def test_what_is_mounted_is_a_volume_and_what_is_read_is_mounted():
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in CONTAINER["volumeMounts"]}
    assert {mount["name"] for mount in mounts.values()} == set(volumes)
    environment = {each["name"]: each.get("value") for each in CONTAINER["env"]}
    folder, _, key = environment["HARK_API_KEY_FILE"].rpartition("/")
    secret = volumes[mounts[folder]["name"]]["secret"]["secretName"]
    command = r"create secret generic (\S+) --from-literal=([\w-]+)=.*--from-file=([\w-]+)$"
    made = re.search(command, FILES["kubernetes.yaml"], re.MULTILINE)
    assert made.groups() == (secret, key, mounts["/data/signing-keys"]["subPath"])
    data = said(DOCKERFILE, r"HARK_DATA_DIR=(\S+)")
    assert data in mounts
    assert "/tmp" in mounts


def test_the_pod_is_what_the_strictest_standard_allows():
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


# ---- Compose


def test_compose_keeps_data_and_reads_settings():
    folders = {mount.split(":")[1] for mount in COMPOSE["volumes"]}
    assert said(DOCKERFILE, r"HARK_DATA_DIR=(\S+)") in folders
    assert said(DOCKERFILE, r'^VOLUME \["(.*)"\]$') in folders
    assert COMPOSE["environment"]["HARK_ENV_FILE"].rpartition("/")[0] in folders
    assert (FOLDER / COMPOSE["build"]["context"] / COMPOSE["build"]["dockerfile"]).exists()
    ports = COMPOSE["environment"]["HARK_WEBRTC_PORTS"]
    assert f"{ports}:{ports}/udp" in COMPOSE["ports"]
    assert COMPOSE["read_only"] and COMPOSE["cap_drop"] == ["ALL"]


# ---- systemd


def unit(key):
    return re.findall(rf"^{key}=(.*)$", UNIT, re.MULTILINE)


def test_the_unit_writes_where_it_may():
    environment = dict(each.split("=", 1) for each in unit("Environment"))
    assert (unit("StateDirectory"), unit("CacheDirectory"), unit("RuntimeDirectory")) == (["hark"],) * 3
    assert environment["HARK_DATA_DIR"] == "%S/hark"
    assert environment["HARK_MODELS_DIR"].startswith("%C/hark")
    copied = unit("ExecReload")[0].split()
    assert unit("ExecStartPre")[0].split() == copied
    assert environment["HARK_ENV_FILE"] == copied[-1] == "%t/hark/hark.env"
    assert unit("ExecReload")[1] == "/bin/kill -HUP $MAINPID"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_understands_the_unit(tmp_path):
    (tmp_path / "hark.service").write_text(UNIT.replace(unit("ExecStart")[0].split()[0], "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", tmp_path / "hark.service"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    mine = [line for line in found.stderr.splitlines() if "hark.service" in line]
    assert (found.returncode, mine) == (0, [])
