"""`hark ray`: Serve is told of what gateways ask for, in YAML that says what is meant, and no key is printed.

`make test-ray` shows the same to Ray's own schema.
"""

import re

import pytest
import yaml

from documents import ROOT
from hark.cli import ray
from hark.cli.main import main
from hark.compute.cluster import feed, serving, wire
from hark.compute.cluster.service import add_transcriber_to_server
from hark.config import Settings
from hark.models.catalog import configured, installed


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"HARK_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def printed(monkeypatch, capsys):
    def run(command, code=0):
        monkeypatch.setattr("sys.argv", ["hark", "ray", *command.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0) == code
        return capsys.readouterr()

    return run


@pytest.fixture
def config(printed):
    return lambda command="": yaml.safe_load(printed(f"config {command}").out)


def deployments(told):
    found = {}
    for application in told["applications"]:
        (found[application["args"]["model"]],) = application["deployments"]
    return found


# ---- applications


@pytest.mark.parametrize(
    ("command", "engines"),
    [
        ("", ["moonshine-tiny-en"]),
        ("--model scripted", ["scripted"]),
        ("--model scripted --aliases fast=Moonshine-Tiny-EN,faster=scripted", ["scripted", "moonshine-tiny-en"]),
    ],
)
def test_there_is_an_application_for_each_engine_that_a_gateway_may_ask_for(config, command, engines):
    told = config(command)
    assert [each["name"] for each in told["applications"]] == [wire.application(engine) for engine in engines]
    assert [each["args"]["model"] for each in told["applications"]] == engines
    assert len({each["route_prefix"] for each in told["applications"]}) == len(engines)


def test_the_engines_are_those_of_a_gateway_with_these_settings(config, monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("HARK_ALIASES=fast=scripted\n")
    monkeypatch.setenv("HARK_MODEL", "moonshine-tiny-en")
    gateway = configured(installed(), Settings(compute="ray://workers"))
    offered = {offer.engine for offer in gateway.offers()}
    assert {each["args"]["model"] for each in config()["applications"]} == offered


def test_what_is_named_is_there(config):
    told = config()
    assert told["grpc_options"]["grpc_servicer_functions"] == [
        f"{add_transcriber_to_server.__module__}.{add_transcriber_to_server.__name__}"
    ]
    (application,) = told["applications"]
    module, _, name = application["import_path"].partition(":")
    source = source_of(module).read_text("utf-8")
    assert re.search(rf"^def {name}\(options", source, re.MULTILINE)
    assert "serve.deployment(name=DEPLOYMENT)" in source
    assert application["deployments"][0]["name"] == serving.DEPLOYMENT


def source_of(module):
    return ROOT / "src" / f"{module.replace('.', '/')}.py"


def test_workers_are_told_by_names_of_options_and_read_them(config):
    (application,) = config("--models-dir ~/m --threads 3")["applications"]
    assert application["args"] == {"model": "moonshine-tiny-en", "models_dir": "~/m", "threads": 3}
    assert Settings(**application["args"]).threads == 3


def test_a_folder_is_told_whole_for_workers_begin_elsewhere(config, tmp_path):
    (application,) = config("--models-dir m")["applications"]
    assert application["args"]["models_dir"] == str(tmp_path / "m")


# ---- keys


def test_no_key_is_printed_and_whose_place_is_elsewhere_is_named(printed, monkeypatch):
    monkeypatch.setenv("HARK_UPSTREAM_KEY", "sk-secret-2")
    monkeypatch.setenv("HARK_UPSTREAM", "http://user:sk-secret-3@gpu:8000/v1")
    monkeypatch.setenv("HARK_API_KEY", "sk-secret-4")
    monkeypatch.setenv("HARK_COMPUTE_TOKEN", "sk-secret-5")
    out, err = printed("config --model upstream")
    assert "sk-secret" not in out + err
    assert "HARK_COMPUTE_TOKEN, HARK_UPSTREAM, HARK_UPSTREAM_KEY." in err
    assert yaml.safe_load(out)["applications"][0]["args"] == {"model": "upstream", "threads": 2}


def test_nothing_that_may_be_a_key_is_an_argument():
    secret = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert not secret & set(ray.ARGS)
    assert {"compute_token", "model_options", "upstream_key"} <= set(ray.FROM_ENVIRONMENT)
    assert set(ray.ARGS) | set(ray.FROM_ENVIRONMENT) <= set(Settings.model_fields)


# ---- sizes


def test_a_full_replica_refuses_and_a_number_is_always_said(config):
    for each in deployments(config("--aliases fast=scripted")).values():
        assert each["max_queued_requests"] == 1  # the least that Serve takes; with its own -1 all would wait
        assert each["max_ongoing_requests"] == 150


def test_replicas_follow_the_open_streams_or_are_a_number(config):
    (following,) = deployments(config()).values()
    scaling = following["autoscaling_config"]
    assert (scaling["min_replicas"], scaling["max_replicas"]) == (1, 4)
    assert 0 < scaling["target_ongoing_requests"] < following["max_ongoing_requests"]
    assert scaling["look_back_period_s"] > 10  # Serve's interval between measurements
    assert "num_replicas" not in following
    (fixed,) = deployments(config("--replicas 3")).values()
    assert fixed["num_replicas"] == 3
    assert "autoscaling_config" not in fixed


def test_one_model_may_be_told_apart(config):
    told = deployments(
        config(
            "--aliases big=scripted --gpus 0,scripted=0.5 --cpus 4,Scripted=1 --replicas 2,scripted=1-3 "
            "--streams scripted=7"
        )
    )
    small, big = told["moonshine-tiny-en"], told["scripted"]
    assert small["ray_actor_options"] == {"num_cpus": 4}
    assert big["ray_actor_options"] == {"num_cpus": 1, "num_gpus": 0.5}
    assert (small["num_replicas"], big["autoscaling_config"]["max_replicas"]) == (2, 3)
    assert (small["max_ongoing_requests"], big["max_ongoing_requests"]) == (300, 7)


def test_a_replica_uses_the_cores_that_ray_gives_it(config):
    assert [each["args"]["threads"] for each in config("--cpus 0.5")["applications"]] == [1]
    assert [each["args"]["threads"] for each in config("--cpus 3")["applications"]] == [3]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("--replicas 0", "--replicas 0: expected N or MIN-MAX, and MODEL=N or MIN-MAX after a comma for one of"),
        ("--replicas 3-2", "--replicas 3-2: expected N or MIN-MAX"),
        ("--cpus 2,3", "--cpus 2,3: expected a number"),
        ("--gpus some", "--gpus some: expected a share of one or a whole number"),
        ("--gpus 1.5", "--gpus 1.5: expected a share of one or a whole number"),
        ("--port 8001", "--port and --http-port are both 8001"),
        ("--streams 0", "--streams 0: expected N"),
        ("--cpus 2,whisper-1=3", "for one of moonshine-tiny-en; got 'whisper-1=3'"),
        ("--model gpt-5", "There are: "),
    ],
)
def test_what_is_meant_otherwise_is_told(printed, command, said):
    out, err = printed(f"config {command}", code=1)
    assert not out
    assert said in " ".join(err.split())


@pytest.mark.parametrize("command", ["--port 0", "--http-port 65536", "--threads 0"])
def test_a_number_that_cannot_be_is_told_by_its_flag(printed, command):
    out, err = printed(f"config {command}", code=2)
    assert not out
    assert command.split()[0] in err


# ---- time


@pytest.mark.parametrize("rotate_s", [None, 90.5])
def test_streams_end_before_what_would_cut_them(config, monkeypatch, rotate_s):
    if rotate_s:
        monkeypatch.setenv("HARK_COMPUTE_ROTATE_SECONDS", str(rotate_s))
    (deployment,) = deployments(config()).values()
    variables = {each.name: each.value for each in serving.environment("token")}
    longest = 2 * (rotate_s or Settings.model_fields["compute_rotate_seconds"].default)
    assert deployment["graceful_shutdown_timeout_s"] >= longest
    assert int(variables["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"]) >= 2 * longest


def test_a_frozen_worker_is_known_before_a_gateway_tries_again():
    variables = {each.name: each.value for each in serving.environment("token")}
    interval_s = int(variables["RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER"].removesuffix("ms")) / 1000
    assert 3 * interval_s + 0.25 < feed.STALL_S


# ---- the form


@pytest.mark.parametrize("text", ["a: b", "yes", "'", '"', "# no", "-", "1.5", "über", "a\nb", "~", "", " x "])
def test_a_text_is_read_as_it_was(text):
    worker = serving.Worker("scripted", 1, 1, 5, 1.0, 0.0, {"log_format": text})
    told = yaml.safe_load(serving.serve_config([worker], host=text))
    assert told["applications"][0]["args"]["log_format"] == text
    assert told["http_options"]["host"] == text


def test_the_environment_is_lines_that_shells_and_containers_read(printed):
    out, err = printed("env --auth disabled")
    lines = [line for line in out.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"RAY_\w+=[\w.]+", line) for line in lines)
    assert lines[-1] == "RAY_AUTH_MODE=disabled"
    assert len({line.partition("=")[0] for line in lines}) == len(lines)
    assert printed("env").out.splitlines()[-1] == "RAY_AUTH_MODE=token"
    assert not err
