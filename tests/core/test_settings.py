"""Settings: a patch is merged whole or not at all, and what it says is checked."""

import math

import pytest
from msgspec import UNSET, structs

from hark.core.settings import (
    LOGPROBS,
    AudioFormat,
    NoiseReduction,
    Patch,
    SessionSettings,
    SettingsError,
    Transcription,
    TranscriptionPatch,
    TurnDetection,
    TurnDetectionPatch,
    merge,
)

DEFAULT = "default-model"
SET = SessionSettings(
    format=AudioFormat("g711_ulaw", 8_000),
    transcription=Transcription("whisper-1", language="de", prompt="Namen", keywords=("Hark",), delay="low"),
    noise_reduction=NoiseReduction("far_field"),
    turn_detection=TurnDetection(threshold=0.7, silence_duration_ms=900),
    include=(LOGPROBS,),
    extras={"instructions": "none", "tools": []},
)


def merged(current=SET, **changed):
    return merge(current, Patch(**changed), DEFAULT)


def turns(**changed):
    return merged(turn_detection=TurnDetectionPatch(**changed)).turn_detection


def hints(current=SET, **changed):
    return merged(current, transcription=TranscriptionPatch(**changed)).transcription


# ---- merge


def test_an_empty_patch_changes_nothing():
    assert merged() == SET
    assert merged(turn_detection=TurnDetectionPatch(), transcription=TranscriptionPatch()) == SET


@pytest.mark.parametrize("name", ["transcription", "noise_reduction", "turn_detection"])
def test_null_switches_an_object_off_and_nothing_else(name):
    assert merged(**{name: None}) == structs.replace(SET, **{name: None})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "realtime"),
        ("format", AudioFormat("pcm16", 48_000)),
        ("noise_reduction", NoiseReduction("near_field", strength=0.0)),
        ("include", ()),
    ],
)
def test_what_is_sent_replaces(name, value):
    assert merged(**{name: value}) == structs.replace(SET, **{name: value})


def test_one_key_of_turn_detection_leaves_the_others():
    assert turns(prefix_padding_ms=100) == structs.replace(SET.turn_detection, prefix_padding_ms=100)
    assert turns(type="server_vad", threshold=0.1) == structs.replace(SET.turn_detection, threshold=0.1)
    assert turns(idle_timeout_ms=6_000).idle_timeout_ms == 6_000


def test_another_type_of_turn_detection_starts_from_the_defaults():
    assert turns(type="semantic_vad", eagerness="high") == TurnDetection(type="semantic_vad", eagerness="high")


def test_turn_detection_that_was_off_starts_from_the_defaults():
    off = merged(turn_detection=None)
    assert merged(off, turn_detection=TurnDetectionPatch(threshold=0.3)).turn_detection == TurnDetection(threshold=0.3)


def test_the_wire_s_defaults():
    assert (TurnDetection().threshold, TurnDetection().prefix_padding_ms) == (0.5, 300)
    assert TurnDetection().silence_duration_ms == 200, "as OpenAI sends it, not as it documents it (contract fact 10)"


def test_one_key_of_transcription_leaves_the_others():
    assert hints(keywords=("a", "b")) == structs.replace(SET.transcription, keywords=("a", "b"))
    assert hints(model="gpt-transcribe") == structs.replace(SET.transcription, model="gpt-transcribe")


def test_transcription_without_a_model_is_by_the_default():
    assert hints(SessionSettings(), language="fr") == Transcription(DEFAULT, language="fr")


@pytest.mark.parametrize("empty", ["", None])
def test_empty_strings_are_not_set(empty):
    cleared = hints(language=empty, prompt=empty)
    assert (cleared.language, cleared.prompt) == (None, None)


def test_language_and_languages_replace_each_other():
    several = hints(languages=("fr", "en"))
    assert (several.language, several.languages) == (None, ("fr", "en"))
    one = hints(structs.replace(SET, transcription=several), language="it")
    assert (one.language, one.languages) == ("it", ())
    assert hints(language="", languages=("fr",)).languages == ("fr",)
    assert hints(languages=()).language == "de"


def test_language_and_languages_together_are_refused():
    with pytest.raises(SettingsError, match="not both") as caught:
        hints(language="fr", languages=("fr", "en"))
    assert caught.value.field == "transcription.languages"


def test_the_model_of_a_session_is_set_once():
    first = merged(model="gpt-realtime")
    assert first.model == "gpt-realtime"
    assert merged(first, model="gpt-realtime-mini").model == "gpt-realtime"


def test_what_is_only_stored_is_merged_by_name():
    extras = merged(extras={"tools": [1], "voice": "sage"}).extras
    assert extras == {"instructions": "none", "tools": [1], "voice": "sage"}
    assert SET.extras == {"instructions": "none", "tools": []}


def test_patches_say_nothing_by_themselves():
    for patch in (TurnDetectionPatch(), TranscriptionPatch()):
        assert all(getattr(patch, name) is UNSET for name in patch.__struct_fields__)


# ---- validation


@pytest.mark.parametrize(
    ("changed", "field", "code"),
    [
        ({"format": AudioFormat("pcm16", 7_999)}, "format.rate", "integer_below_min_value"),
        ({"format": AudioFormat("pcm16", 48_001)}, "format.rate", "integer_above_max_value"),
        ({"include": (LOGPROBS, "usage")}, "include", "invalid_value"),
        ({"noise_reduction": NoiseReduction("near_field", 1.5)}, "noise_reduction.strength", "decimal_above_max_value"),
        (
            {"noise_reduction": NoiseReduction("near_field", math.nan)},
            "noise_reduction.strength",
            "decimal_above_max_value",
        ),
    ],
)
def test_what_is_out_of_range_is_refused(changed, field, code):
    with pytest.raises(SettingsError) as caught:
        merged(**changed)
    assert (caught.value.field, caught.value.code) == (field, code)


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("threshold", 0, 1),
        ("prefix_padding_ms", 0, 10_000),
        ("silence_duration_ms", 0, 60_000),
        ("idle_timeout_ms", 5_000, 30_000),
    ],
)
def test_turn_detection_is_checked_to_the_border(key, low, high):
    for value in (low, high):
        assert getattr(turns(**{key: value}), key) == value
    kind = "decimal" if key == "threshold" else "integer"
    for value, code in ((low - 1, f"{kind}_below_min_value"), (high + 1, f"{kind}_above_max_value")):
        said = rf"Invalid [\w.]+: {value}\. Expected a value >= {low} and <= {high}\."
        with pytest.raises(SettingsError, match=said) as caught:
            turns(**{key: value})
        assert (caught.value.field, caught.value.code) == (f"turn_detection.{key}", code)


@pytest.mark.parametrize(("value", "code"), [(-0.1, "decimal_below_min_value"), (math.nan, "decimal_above_max_value")])
def test_a_threshold_is_a_number_between_0_and_1(value, code):
    with pytest.raises(SettingsError) as caught:
        turns(threshold=value)
    assert caught.value.code == code


def test_a_fault_anywhere_refuses_all_of_the_patch():
    before = structs.asdict(SET)
    with pytest.raises(SettingsError):
        merged(kind="realtime", extras={"voice": "sage"}, turn_detection=TurnDetectionPatch(threshold=7))
    assert structs.asdict(SET) == before
