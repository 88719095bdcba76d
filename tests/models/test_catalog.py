"""Which models there are, and the names that clients use for them."""

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from hark.config import Settings
from hark.core.settings import ModelCard
from hark.errors import OperatorError
from hark.models import catalog, scripted
from hark.models.base import EngineModel, JudgeModel, ModelSpec, ScorerModel, Suits
from hark.models.catalog import DEFAULT_ENGINE, DEFAULT_JUDGE, DEFAULT_SCORER, Catalog, configured, installed
from hark.models.choice import FALLBACK
from hark.models.names import SESSION_NAMES

MODELS = {model.spec.name: model for model in scripted.plugin()}


def of(models=MODELS, default="scripted", scorer="scripted-vad", judge="scripted-turns", **options):
    return Catalog(models, default, scorer, judge, **options)


def engine(name, *files):
    return EngineModel(ModelSpec(name, "for this test", "MIT", files=files), lambda options: None)


def test_hark_s_own_models_come_through_the_same_door():
    models = installed()
    assert isinstance(models[DEFAULT_ENGINE], EngineModel)
    assert isinstance(models[DEFAULT_SCORER], ScorerModel)
    assert isinstance(models[DEFAULT_JUDGE], JudgeModel)
    assert {"scripted", "scripted-vad", "scripted-turns"} <= set(models)
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


def test_a_model_that_is_not_pulled_leaves_openai_s_names_to_the_default():
    models = MODELS | {name: engine(name, "samples") for name in ("whisper-small", "other")}
    later = of(models, unpulled=["whisper-small", "other"])
    assert later.find("whisper-small").engine == "scripted"
    assert later.find("other").engine == "other"  # whose items say what is missing
    assert of(models).find("whisper-small").engine == "whisper-small"
    assert of(models, default="whisper-small", unpulled=["whisper-small"]).find("whisper-1").engine == "whisper-small"
    assert of(models, default="whisper-small", unpulled=["whisper-small"]).find(None).engine == "whisper-small"


BARE = ModelSpec("Bare", "for this test", "MIT", modules=("no_such_module", "json"), install="pip install bare")


@pytest.mark.parametrize("chosen", [{"default": "bare"}, {"aliases": {"fast": "bare"}}])
def test_a_model_without_its_packages_is_nobody_s_and_says_what_it_wants(chosen):
    models = MODELS | {"Bare": EngineModel(BARE, lambda options: None)}
    assert of(models).find("bare") is None
    assert "Bare" not in of(models).names()
    with pytest.raises(OperatorError, match=r"bare cannot be used\. .* not installed: no_such_module\. Run `pip inst"):
        of(models, **chosen)
    with pytest.raises(OperatorError, match=r"There are: scripted\.$"):
        of(models, default="typo")


def test_auto_is_what_suits_the_machine(tmp_path):
    def settings(**options):
        return Settings(_env_file=None, voice_model="scripted-vad", turn_model="none", models_dir=tmp_path, **options)

    def suited(name, cpu, *files):
        spec = ModelSpec(name, "for this test", "MIT", files=files, suits=Suits(cpu=cpu))
        return {name: EngineModel(spec, lambda options: None)}

    models = MODELS | suited(FALLBACK, 50) | suited("better", 60) | suited("unpulled", 90, "samples")
    auto = configured(models, settings())
    assert (auto.engine.spec.name, auto.choice.name) == ("better", "better")
    assert configured(models, settings(model="AUTO")).choice == auto.choice
    named = configured(models, settings(model="scripted"))
    assert (named.engine.spec.name, named.choice) == ("scripted", None)


def test_names_are_all_that_clients_may_use():
    names = of().names()
    assert names == sorted(names)
    assert {"scripted", "whisper-1"} <= set(names)
    assert "scripted-vad" not in names
    assert all(of().find(name) for name in names)


def test_files_are_those_of_the_default_models_alone():
    models = MODELS | {"big": engine("big", "big.onnx"), "small": engine("small", "small.onnx", "small.txt")}
    assert of(models, default="small").files() == ["small.onnx", "small.txt"]


# ---- the operator's own names


TWO = MODELS | {"Other": engine("Other", "other.onnx")}


def test_an_alias_stands_for_its_model():
    catalog = of(TWO, aliases={"Fast": "OTHER", "gpt-4o-transcribe": "other"})
    assert catalog.find("fast") == ModelCard("Fast", "Other")
    assert catalog.find("gpt-4o-transcribe") == ModelCard("gpt-4o-transcribe", "Other", usage="tokens")
    assert catalog.find("whisper-1").engine == "scripted"
    assert {"Fast", "Other", "gpt-4o-transcribe"} <= set(catalog.names())


@pytest.mark.parametrize("name", ["Whisper-1", "SCRIPTED", "GPT-4o-Transcribe"])
def test_case_does_not_matter(name):
    assert of().find(name) == of().find(name.lower())
    assert of(default="Scripted", scorer="SCRIPTED-VAD").find(name).engine == "scripted"


@pytest.mark.parametrize(("unnamed", "engine_"), [("whisper-1", "scripted"), ("other", "Other"), ("FAST", "Other")])
def test_what_counts_where_no_model_is_named(unnamed, engine_):
    catalog = of(TWO, aliases={"fast": "other"}, unnamed=unnamed)
    assert catalog.find(None) == catalog.find(unnamed)
    assert catalog.find(None).engine == engine_
    assert catalog.find("gpt-transcribe").engine == "scripted"
    assert catalog.engines() == list(dict.fromkeys(("scripted", engine_)))


def test_what_the_settings_name_is_pulled():
    assert of(TWO).files() == []
    assert of(TWO, aliases={"fast": "other"}).files() == ["other.onnx"]
    assert of(TWO, aliases={"a": "other", "b": "other"}, unnamed="other").files() == ["other.onnx"]


@pytest.mark.parametrize("name", ["Scripted", "scripted-vad", "GPT-realtime", "gpt-4o-realtime-preview"])
def test_a_name_that_is_taken_is_no_alias(name):
    with pytest.raises(OperatorError, match=rf"--aliases {name}=other: '{name}' is the name of .* another name"):
        of(TWO, aliases={name: "other"})


def test_the_list_has_every_name_once_and_a_stable_date():
    offers = of(TWO, aliases={"fast": "other", "whisper-1": "other"}).offers()
    names = [offer.name for offer in offers]
    assert len(names) == len(set(names))
    assert names[:4] == ["scripted", "Other", "whisper-1", "fast"]
    assert set(names) == {*of(TWO).names(), "fast", *SESSION_NAMES}
    by_name = {offer.name: offer for offer in offers}
    assert (by_name["fast"].engine, by_name["whisper-1"].engine, by_name["whisper-tiny"].engine) == (
        "Other", "Other", "scripted",
    )  # fmt: skip
    assert {offer.kind for offer in offers if offer.name in SESSION_NAMES} == {"session"}
    # The pairs that OpenAI's own list shows (contract A.7).
    for name, created, owner in (
        ("whisper-1", 1_677_532_384, "openai-internal"),
        ("gpt-4o-transcribe", 1_742_068_463, "system"),
        ("gpt-4o-realtime-preview-2024-12-17", 1_733_945_430, "system"),
    ):
        assert (by_name[name].created, by_name[name].owned_by) == (created, owner)
    assert by_name["gpt-realtime-mini-2025-10-06"].created == 1_759_708_800
    assert {by_name[name].owned_by for name in ("Other", "fast", "whisper-large-v3")} == {"hark"}
    assert by_name["Other"].created == by_name["fast"].created > 0


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"default": "typo"}, r"--model typo: no such model is installed\. There are: scripted\."),
        ({"default": "scripted-vad"}, r"--model scripted-vad: .* There are: scripted\."),
        ({"scorer": "scripted"}, r"--voice-model scripted: .* There are: scripted-vad\."),
        ({"judge": "scripted-vad"}, r"--turn-model scripted-vad: .* There are: scripted-turns, none\."),
        ({"aliases": {"a": "b"}}, r"--aliases a=b: no such model is installed\. There are: scripted\."),
        ({"aliases": {"a": "scripted-vad"}}, r"--aliases a=scripted-vad: .* There are: scripted\."),
        ({"unnamed": "typo"}, r"--transcription-model typo: no such model name\. There are: .*scripted, whisper-1"),
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


def test_the_judge_is_optional_and_so_are_its_files():
    judge = JudgeModel(ModelSpec("judge", "for this test", "MIT", files=("smart-turn",)), lambda options: None)
    own = of({**MODELS, "judge": judge}, judge="Judge")
    assert own.judge is judge
    assert (own.files(), own.optional_files()) == ([], ["smart-turn"])
    without = of(judge="none")
    assert (without.judge, without.optional_files()) == (None, [])
