"""make audit fails for what is wrong, and for what nobody could look at."""

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "requirements" / "audit.py"


@pytest.fixture
def audit(monkeypatch):
    """The script, whose tools answer what a test says: (a word of the command) -> standard output."""
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    expected = [{"test_id": test, "filename": file} for test, file in module.EXPECTED]
    module.said = {
        "bandit": json.dumps({"errors": [], "results": expected}),
        "zizmor": "[]",
        "pip-audit": json.dumps({"dependencies": [{"name": "a", "version": "1", "vulns": []}]}),
        "npm": json.dumps({"vulnerabilities": {}}),
    }

    def run(command):
        tool = next(tool for tool in module.said if tool in str(command[0]))
        if module.said[tool] is None:
            raise FileNotFoundError(tool)
        return subprocess.CompletedProcess(command, 0, module.said[tool], "")

    monkeypatch.setattr(module, "_run", run)
    return module


def test_all_is_well(audit):
    assert audit.main("code") == 0
    assert audit.main("all") == 0


def test_what_bandit_finds_and_nobody_explained(audit, capsys):
    report = json.loads(audit.said["bandit"])
    new = {"test_id": "B999", "filename": "src/hark/app.py", "line_number": 7, "issue_text": "a hole"}
    audit.said["bandit"] = json.dumps(report | {"results": [*report["results"], new]})
    assert audit.main("code") == 1
    assert "WRONG: bandit B999 at src/hark/app.py:7: a hole" in capsys.readouterr().out


def test_a_reason_without_a_finding(audit, capsys):
    report = json.loads(audit.said["bandit"])
    audit.said["bandit"] = json.dumps(report | {"results": report["results"][1:]})
    assert audit.main("code") == 1
    assert "which is not found" in capsys.readouterr().out


def test_a_flaw_is_wrong_wherever_it_is(audit, capsys):
    flaw = {"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
    audit.said["pip-audit"] = json.dumps({"dependencies": [flaw]})
    audit.said["npm"] = json.dumps({"vulnerabilities": {"b": {"name": "b", "severity": "high"}}})
    assert audit.main("all", "--unreached-ok") == 1
    told = capsys.readouterr().out
    assert "WRONG: requirements/base.txt: a 1 has PYSEC-1, fixed in 2" in told
    assert "b is flawed (high)" in told


@pytest.mark.parametrize(
    ("tool", "answer"),
    [
        ("pip-audit", json.dumps({"dependencies": [{"name": "a", "skip_reason": "not found on PyPI"}]})),
        ("pip-audit", "no answer"),
        ("npm", '{"error": "405"}'),
        ("npm", "no answer"),
        ("npm", None),
    ],
)
def test_what_could_not_be_looked_at_is_a_failure_unless_that_is_allowed(audit, capsys, tool, answer):
    audit.said[tool] = answer
    assert audit.main("all") == 1
    assert "NOT CHECKED: " in capsys.readouterr().out
    assert audit.main("all", "--unreached-ok") == 0
    assert "NOT CHECKED: " in capsys.readouterr().out
    assert audit.main("code") == 0
