"""Which Compute a server gets, and what a gateway needs of its own."""

import asyncio
import sys

import pytest

from hark.compute.cluster.remote import ClusterCompute
from hark.compute.running import compute_of
from hark.compute.scheduler import LocalCompute
from hark.config import Settings
from hark.errors import OperatorError
from hark.models.catalog import configured, installed, renamed
from hark.telemetry.metrics import Metrics


def settings(**options):
    return Settings(_env_file=None, **{"voice_model": "scripted-vad", "turn_model": "none"} | options)


def made(**options):
    chosen = settings(**options)

    async def make():
        catalog = configured(installed(), chosen)
        compute = compute_of(chosen, catalog, 1, Metrics(), explains=False)
        await compute.leave()
        compute.stop()
        return compute, catalog

    return asyncio.run(make())


def test_one_machine_is_the_default():
    compute, _ = made(model="scripted")
    assert isinstance(compute, LocalCompute)


def test_a_gateway_needs_no_file_and_no_package_of_its_engines(tmp_path):
    aliases = "small=moonshine-small-streaming-en"
    compute, catalog = made(model="whisper-tiny", compute="ray://127.0.0.1:9", models_dir=tmp_path, aliases=aliases)
    assert isinstance(compute, ClusterCompute)
    assert catalog.files() == []
    assert catalog.engine.spec.name == "whisper-tiny"
    assert catalog.find("small").engine == "moonshine-small-streaming-en"
    assert catalog.find("moonshine-tiny-en") is None, "of all others nobody knows whether a worker has them"


def test_who_names_no_model_may_have_another_engine_of_the_workers():
    _, catalog = made(model="scripted", transcription_model="moonshine-tiny-en", compute="ray://127.0.0.1:9")
    assert catalog.engines() == ["scripted", "moonshine-tiny-en"]
    _, catalog = made(model="scripted", transcription_model="whisper-tiny", compute="ray://127.0.0.1:9")
    assert catalog.engines() == ["scripted"], "OpenAI's names stand for the default"


def test_a_running_gateway_takes_up_names_of_further_engines(tmp_path):
    options = {"model": "scripted", "compute": "ray://127.0.0.1:9", "models_dir": tmp_path}
    _, catalog = made(**options, aliases="small=moonshine-small-streaming-en")
    anew = renamed(catalog, settings(**options, aliases="fast=moonshine-tiny-en"))
    assert anew.find("fast").engine == "moonshine-tiny-en"
    assert anew.find("small") is None
    assert anew.engine.spec.name == "scripted"
    with pytest.raises(OperatorError, match=r"--aliases fast=none-such"):
        renamed(catalog, settings(**options, aliases="fast=none-such"))


def test_auto_is_the_same_for_gateways_and_workers():
    _, catalog = made(compute="ray://127.0.0.1:9")
    assert catalog.engine.spec.name == "moonshine-tiny-en"


def test_a_model_that_is_no_engine_is_refused_as_ever():
    with pytest.raises(OperatorError, match=r"no such model is installed\. There are: .*moonshine-tiny-en"):
        made(model="no-such-model", compute="ray://127.0.0.1:9")


def test_what_a_gateway_lacks_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "grpc", None)
    for name in [name for name in sys.modules if name.startswith("hark.compute.cluster.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(OperatorError, match=r"pip install 'hark\[cluster\]'"):
        made(compute="ray://127.0.0.1:9")


def test_certificates_that_cannot_be_read_are_told(tmp_path):
    with pytest.raises(OperatorError, match=r"--compute-ca .*absent\.pem cannot be read"):
        made(compute="rays://127.0.0.1:9", compute_ca=tmp_path / "absent.pem")
    for other in ("", "port: 8001\n", "-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n"):
        (tmp_path / "other.pem").write_text(other)
        with pytest.raises(OperatorError, match=r"--compute-ca .*other\.pem: expected certificates in PEM"):
            made(compute="rays://127.0.0.1:9", compute_ca=tmp_path / "other.pem")


def test_one_machine_needs_nothing_of_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "grpc", None)
    for name in [name for name in sys.modules if name.startswith("hark.compute.cluster.")]:
        monkeypatch.delitem(sys.modules, name)
    compute, _ = made(model="scripted")
    assert type(compute).__name__ == "LocalCompute"
