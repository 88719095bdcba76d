"""The shared suite against the engines that need no files but those which `hark pull` fetches."""

import numpy as np
import pytest
from engine_suite import EngineSuite, Subject, recorded

from hark.models import scripted
from hark.models.base import LoadOptions
from hark.models.files.pull import models_folder
from hark.models.moonshine import engine as moonshine
from hark.models.scripted import WORD_SAMPLES, amplitude


def spoken(*words):
    """As the scripted engine hears them: loudness, with silence behind."""
    loud = [np.full(WORD_SAMPLES, amplitude(word), np.float32) for word in words]
    return np.concatenate([*loud, np.zeros(4_800, np.float32)])


class TestScripted(EngineSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, tmp_path_factory):
        speech = [spoken("alpha"), spoken("bravo", "charlie"), spoken("delta", "echo", "alpha", "bravo")]
        return Subject(scripted.plugin()[0], LoadOptions(tmp_path_factory.mktemp("models")), speech)


class TestMoonshine(EngineSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, samples):
        return Subject(moonshine.plugin()[0], LoadOptions(models_folder(None)), recorded())
