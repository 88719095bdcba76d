"""Every input that is kept goes through its target: what once broke something stays mended."""

import warnings

import pytest

from fuzz import corpus


@pytest.mark.parametrize("name", corpus.TARGETS)
def test_what_was_found_stays_mended(name):
    target, files = corpus.load(name), corpus.inputs(name)
    assert files, "a target needs inputs to begin with"
    for path in files:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                target.check(path.read_bytes())
            except Exception as error:
                error.add_note(f"the input: {path}")
                raise


@pytest.mark.parametrize("name", corpus.TARGETS)
def test_the_seeds_are_those_that_the_target_gives(name):
    kept = {path.name for path in corpus.inputs(name) if path.name.startswith("seed-")}
    assert kept == {f"seed-{title}" for title, _ in corpus.load(name).seeds()}
