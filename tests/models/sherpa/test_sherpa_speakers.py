"""Voices made into vectors by sherpa-onnx, of a graph that is made here."""

import builtins

import numpy as np
import pytest

import sherpa_standins as standins
from hark.errors import OperatorError
from hark.models.base import LoadOptions, SpeakerModel
from hark.models.sherpa.speakers import NAME, plugin
from hark.session.speakers import Speakers
from sherpa_standins import high, low


def load(folder):
    [model] = plugin()
    assert isinstance(model, SpeakerModel)
    return model.load(LoadOptions(folder, 1))


@pytest.fixture
def ears(tmp_path):
    standins.voices(tmp_path / NAME)
    return load(tmp_path)


def test_two_voices_are_told_apart_at_any_loudness(ears):
    talk = [low(3), high(2), low(12, seed=1) * 0.1, high(3, seed=2) * 3, low(2, seed=3)]
    vectors = ears.embed(talk)
    assert {(vector.dtype, vector.shape) for vector in vectors} == {(np.dtype(np.float32), (80,))}
    speakers = Speakers()
    labels = [speakers.label(v, len(t) / 16_000) for v, t in zip(vectors, talk, strict=True)]
    assert labels == ["A", "B", "A", "B", "A"]


def test_a_batch_equals_one_by_one(ears):
    talk = [low(3), high(0.4), low(1.1)]
    for vector, audio in zip(ears.embed(talk), talk, strict=True):
        assert np.allclose(vector, ears.embed([audio])[0])
    assert list(ears.embed([])) == []


@pytest.mark.parametrize("length", [0, 1, 400, 1_600])
def test_audio_too_short_for_a_voice_harms_nobody(ears, length):
    [vector] = ears.embed([np.zeros(length, np.float32)])
    assert np.isfinite(vector).all()


def test_wrong_files_are_told_before_the_package_sees_them(tmp_path):
    with pytest.raises(OperatorError, match="it is missing"):
        load(tmp_path)
    standins.voices(tmp_path / NAME, framework="somebody's")
    with pytest.raises(OperatorError, match=r"framework is 'somebody's'.*Expected one of 3d-speaker, wespeaker"):
        load(tmp_path)
    path = tmp_path / NAME / "voices.onnx"
    path.write_bytes(path.read_bytes().replace(b"output_dim", b"output_dom"))
    with pytest.raises(OperatorError, match="it lacks output_dim"):
        load(tmp_path)
    path.write_bytes(b"<html>")
    with pytest.raises(OperatorError, match="cannot be read as ONNX"):
        load(tmp_path)


def test_without_the_package_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    real = builtins.__import__

    def fails(name, *rest):
        if name == "sherpa_onnx":
            raise ModuleNotFoundError("No module named 'sherpa_onnx'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", fails)
    with pytest.raises(OperatorError, match=r"pip install sherpa-onnx==\d"):
        load(tmp_path)
