"""Which models there are, and the names that clients use for them."""

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from hark.errors import OperatorError
from hark.models import catalog, scripted
from hark.models.base import EngineModel, ModelSpec, ScorerModel
from hark.models.catalog import DEFAULT_ENGINE, DEFAULT_SCORER, Catalog, installed

MODELS = {model.spec.name: model for model in scripted.plugin()}


def of(models=MODELS, default="scripted", scorer="scripted-vad"):
    return Catalog(models, default, scorer)


def engine(name, *files):
    return EngineModel(ModelSpec(name, "for this test", "MIT", files=files), lambda options: None)


def test_hark_s_own_models_come_through_the_same_door():
    models = installed()
    assert isinstance(models[DEFAULT_ENGINE], EngineModel)
    assert isinstance(models[DEFAULT_SCORER], ScorerModel)
    assert {"scripted", "scripted-vad"} <= set(models)
    assert all(name == model.spec.name for name, model in models.items())


@pytest.mark.parametrize("value", ["hark.models.there_is_none:plugin", "hark.models.base:no_plugin", "math:pi"])
def test_a_broken_plug_in_is_named(monkeypatch, value):
    entry = EntryPoint("broken", value, catalog.GROUP)
    monkeypatch.setattr(catalog, "entry_points", lambda group: EntryPoints([entry]).select(group=group))
    with pytest.raises(OperatorError, match=rf"plug-in 'broken' \({value}\) cannot be .* Reinstall or remove it"):
        installed()


@pytest.mark.parametrize(
    ("name", "usage", "live", "languages"),
    [
        ("whisper-1", "duration", False, False),
        ("gpt-4o-transcribe", "tokens", False, False),
        ("gpt-4o-mini-transcribe", "tokens", False, False),
        ("gpt-4o-mini-transcribe-2025-12-15", "tokens", False, False),
        ("gpt-4o-transcribe-diarize", "tokens", False, False),
        ("gpt-transcribe", "duration", False, True),
        ("gpt-live-transcribe", "duration", True, True),
        ("gpt-realtime-whisper", "duration", True, False),
        ("whisper-large-v3", "duration", False, False),
    ],
)
def test_names_of_openai_stand_for_the_default_model(name, usage, live, languages):
    card = of().find(name)
    assert (card.name, card.engine) == (name, "scripted")
    assert (card.usage, card.live, card.languages) == (usage, live, languages)


def test_no_name_is_the_default():
    assert of().find(None) == of().find("scripted")
    assert of(MODELS | {"other": engine("other")}, default="other").find("whisper-1").engine == "other"


@pytest.mark.parametrize("name", ["nobody-has-this", "", "scripted-vad"])
def test_a_name_that_nobody_offers(name):
    assert of().find(name) is None


def test_a_model_s_own_name_wins_over_an_alias():
    own = of(MODELS | {"whisper-1": engine("whisper-1")})
    assert own.find("whisper-1").engine == "whisper-1"
    assert own.find("gpt-transcribe").engine == "scripted"


def test_names_are_all_that_clients_may_use():
    names = of().names()
    assert names == sorted(names)
    assert {"scripted", "whisper-1"} <= set(names)
    assert "scripted-vad" not in names
    assert all(of().find(name) for name in names)


def test_files_are_those_of_the_default_models_alone():
    models = MODELS | {"big": engine("big", "big.onnx"), "small": engine("small", "small.onnx", "small.txt")}
    assert of(models, default="small").files() == ["small.onnx", "small.txt"]


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"default": "typo"}, r"--model typo: no such model is installed\. There are: scripted\."),
        ({"default": "scripted-vad"}, r"--model scripted-vad: .* There are: scripted\."),
        ({"scorer": "scripted"}, r"--voice-model scripted: .* There are: scripted-vad\."),
    ],
)
def test_a_model_that_is_not_there(chosen, told):
    with pytest.raises(OperatorError, match=told):
        of(**chosen)


def test_two_plugins_may_not_offer_one_name(monkeypatch):
    twice = EntryPoints(EntryPoint(name, "hark.models.scripted:plugin", catalog.GROUP) for name in ("one", "two"))
    monkeypatch.setattr(catalog, "entry_points", lambda group: twice)
    with pytest.raises(OperatorError, match="Two plug-ins offer a model 'scripted': 'two' and another"):
        installed()
