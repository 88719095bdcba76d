"""`hark models`: for people, and for programs."""

import itertools
import json
import re

import httpx
import pytest

from hark.cli.main import main


@pytest.fixture
def printed(monkeypatch, tmp_path, capsys):
    """What `hark models` prints with these flags and variables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")  # no cell is folded
    for name in ("TRANSCRIPTION_MODEL", "OPENAI_REALTIME_SESSION_MODEL", "HARK_ALIASES", "HARK_MODEL"):
        monkeypatch.delenv(name, raising=False)

    def run(line="", **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.argv", ["hark", "models", *line.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return capsys.readouterr().out

    return run


def rows(text):
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}


def test_people_see_models_and_names(printed, tmp_path):
    text = printed(f"--models-dir {tmp_path}", HARK_ALIASES="fast=scripted")
    table = rows(text)
    assert table["fast"] == ["scripted", "transcription"]
    assert table["whisper-1"] == ["moonshine-tiny-en", "transcription"]
    assert table["gpt-4o-realtime-preview-2024-12-17"][:2] == ["moonshine-tiny-en", "realtime"]
    flat = " ".join(text.split())
    tiny = "Moonshine tiny: English, 27 million parameters, 44 MB."
    assert f"moonshine-tiny-en * 43.9 hark pull moonshine-tiny-en {tiny} Licence: MIT. Languages: en." in flat
    assert "needs none" in flat
    assert f"Files are in {tmp_path}" in text


@pytest.mark.parametrize("columns", [80, 120])
def test_it_can_be_read_in_any_terminal(printed, tmp_path, columns):
    listing = json.loads(printed(f"--json --models-dir {tmp_path}"))
    lines = printed(f"--models-dir {tmp_path}", COLUMNS=str(columns)).splitlines()
    shown = [line.rstrip() for line in lines if not line.startswith(("--model auto", "Files are in"))]
    assert max(map(len, shown)) <= columns
    for name in listing["data"]:  # a line each
        kind = "realtime" if name["kind"] == "session" else "transcription"
        assert [name["id"], name["model"], kind] in [line.split() for line in shown]
    for model in listing["models"]:
        begin = next(index for index, line in enumerate(shown) if line.startswith(f"{model['name']} "))
        if model["installed"] and model["pull"]:  # a command is whole
            assert shown[begin].endswith(f"  {model['pull']}")
        below = itertools.takewhile(lambda line: line.startswith("  "), shown[begin + 1 :])
        words = " ".join(line.strip() for line in below)  # and so is every word
        assert f"{model['summary']} Licence: {model['licence']}." in words


def test_pulled_files_are_said_to_be_there(printed):
    listing = json.loads(printed("--json"))
    assert {model["name"]: model["pulled"] for model in listing["models"]}["moonshine-tiny-en"]
    assert " pulled" in printed()


def test_programs_get_the_same_table_as_json(printed, tmp_path):
    listing = json.loads(printed(f"--json --models-dir {tmp_path}", TRANSCRIPTION_MODEL="scripted"))
    models = {model.pop("name"): model for model in listing["models"]}
    assert models["moonshine-tiny-en"] == {
        "kind": "transcription", "summary": "Moonshine tiny: English, 27 million parameters, 44 MB.", "licence": "MIT",
        "languages": ["en"], "bytes": 43_943_830, "pulled": False, "pull": "hark pull moonshine-tiny-en",
        "default": True, "installed": True, "install": None,
        "problem": "The files of the model 'moonshine-tiny-en' are not on this machine. "
        "Run `hark pull moonshine-tiny-en`.",
    }  # fmt: skip
    assert [models["scripted"][key] for key in ("pulled", "pull", "default")] == [True, None, True]
    assert models["silero-vad"]["kind"] == "voice"
    assert [models["smart-turn"][key] for key in ("kind", "bytes", "default")] == ["turns", 8_679_182, True]
    assert listing["folder"] == str(tmp_path)
    assert listing["chosen"] == "moonshine-tiny-en: small and quick on a CPU"
    assert models["scripted"]["problem"] is None


def test_the_names_are_those_that_the_server_lists(printed, serve):
    options = {"aliases": "fast=moonshine-tiny-en", "model": "scripted"}
    offered = httpx.get(f"{serve(**options).url}/v1/models").json()
    listing = json.loads(printed("--json", HARK_ALIASES=options["aliases"], HARK_MODEL=options["model"]))
    keys = offered["data"][0].keys()
    assert [{key: name[key] for key in keys} for name in listing["data"]] == offered["data"]
    assert listing["object"] == offered["object"]
    assert {name["id"]: name["model"] for name in listing["data"]}["fast"] == "moonshine-tiny-en"


def test_a_wrong_alias_is_told_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv("HARK_ALIASES", "fast=gpt-5")
    monkeypatch.setattr("sys.argv", ["hark", "models"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert re.search(
        r"no such model is installed\. There are: .*moonshine-tiny-en, .*scripted\b", capsys.readouterr().err
    )
