"""What is known to be wrong with the code and with what it is made of: python audit.py code | all [--unreached-ok]

    code           bandit over src/, zizmor over .github/: offline, seconds
    dependencies   pip-audit over every lock of Python's, npm audit over every lock of Node's: asks a database

Rule: what was not looked at is said, and counts as a failure. A database that cannot be reached, or that does not know
a package, is a check that has not been made; `--unreached-ok` is for machines that reach none. Every finding of
bandit's that is meant stands below with its reason, and a reason whose finding is gone fails too.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SKIPPED = {
    "B101": "an assert states an invariant to the type checker; nothing rests on one at run time",
    "B403": "says that pickle is imported; B301 says what is done with it",
    "B404": "says that subprocess is imported; B603 says what is done with it",
}
EXPECTED = {
    ("B104", "src/hark/edge/server.py"): "a listener on every address is shown to people as 127.0.0.1",
    ("B104", "src/hark/edge/ice.py"): "behind an address that the operator advertises, sockets are on every one",
    ("B105", "src/hark/compute/cluster/serving.py"): "no password: what is said of RAY_AUTH_MODE=token",
    ("B105", "src/hark/protocol/beta.py"): "no password: the secret of a session is null in the beta dialect",
    ("B301", "src/hark/compute/process_main.py"): "comes over a pair of sockets from the server that started it",
    ("B311", "src/hark/bench/schedule.py"): "when simulated users begin",
    ("B311", "src/hark/edge/ice.py"): "which free port is tried first; the checks of a call have passwords",
    ("B311", "src/hark/models/upstream/engine.py"): "how long to wait before asking again",
    ("B406", "src/hark/bench/histogram.py"): "escape writes XML, and nothing reads any",
    ("B603", "src/hark/compute/process.py"): "this interpreter with a module of ours and a number; no shell",
    ("B603", "src/hark/models/files/pull.py"): "pip with the names of the table of models; no shell",
    ("B608", "src/hark/auth/store.py"): "the list of columns is a constant; every value is bound",
    ("B608", "src/hark/journal/store.py"): "the same",
}


class Audit:
    """`wrong`: what was found; `unreached`: what could not be looked at."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.unreached: list[str] = []

    def bandit(self) -> None:
        command = [BIN / "bandit", "-q", "-r", "src", "-f", "json", "--exit-zero", "--skip", ",".join(SKIPPED)]
        report = json.loads(_run(command).stdout)
        self.wrong += [f"bandit could not read {error['filename']}: {error['reason']}" for error in report["errors"]]
        found = {(result["test_id"], result["filename"]) for result in report["results"]}
        for result in report["results"]:
            if (result["test_id"], result["filename"]) not in EXPECTED:
                where = f"{result['filename']}:{result['line_number']}"
                self.wrong.append(f"bandit {result['test_id']} at {where}: {result['issue_text']}")
        self.wrong += [f"audit.py explains {' in '.join(one)}, which is not found" for one in EXPECTED.keys() - found]
        print(f"bandit: {len(report['results'])} findings, each explained in {Path(__file__).name} unless listed below")

    def zizmor(self) -> None:
        ran = _run([BIN / "zizmor", "--offline", "--persona=pedantic", "--no-progress", "--format=json", ".github"])
        try:
            found = json.loads(ran.stdout)
        except ValueError:
            self.wrong.append(f"zizmor failed: {ran.stderr.strip()[-300:]}")
            return
        self.wrong += [f"zizmor {one['ident']}: {one['desc']}" for one in found]
        print(f"zizmor: {len(found)} findings in .github")

    def python(self, lock: Path) -> None:
        name = lock.relative_to(ROOT)
        command = [BIN / "pip-audit", "-r", lock, "--disable-pip", "--require-hashes", "--progress-spinner=off"]
        ran = _run([*command, "--format=json", "--desc=off"])
        try:
            packages = json.loads(ran.stdout)["dependencies"]
        except ValueError:
            self.unreached.append(f"{name}: pip-audit failed: {(ran.stderr.strip() or 'nothing said')[-200:]}")
            return
        unknown = [one["name"] for one in packages if "skip_reason" in one]
        if unknown:
            self.unreached.append(f"{name}: the database of PyPI knows nothing of {len(unknown)} of {len(packages)}")
        for one in packages:
            for flaw in one.get("vulns", ()):
                fixed = ", ".join(flaw["fix_versions"]) or "nowhere yet"
                self.wrong.append(f"{name}: {one['name']} {one['version']} has {flaw['id']}, fixed in {fixed}")
        print(f"pip-audit: {name}: {len(packages) - len(unknown)} of {len(packages)} packages looked up")

    def node(self, lock: Path) -> None:
        name = lock.relative_to(ROOT)
        try:
            ran = _run(["npm", "--prefix", lock.parent, "audit", "--package-lock-only", "--json"])
            found = json.loads(ran.stdout)["vulnerabilities"]
        except OSError:
            self.unreached.append(f"{name}: there is no npm")
            return
        except (ValueError, KeyError):
            self.unreached.append(f"{name}: npm's database of flaws could not be reached")
            return
        self.wrong += [f"{name}: {one['name']} is flawed ({one['severity']})" for one in found.values()]
        print(f"npm audit: {name}: {len(found)} packages are flawed")


def _run(command: list[object]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False)


def main(what: str, *flags: str) -> int:
    audit = Audit()
    audit.bandit()
    audit.zizmor()
    if what == "all":
        for folder in ("requirements", "tests/clients/python", "benchmarks/peers"):
            for lock in sorted((ROOT / folder).glob("*.txt")):
                audit.python(lock)
        for lock in sorted(ROOT.glob("tests/**/package-lock.json")):
            if "node_modules" not in lock.parts:
                audit.node(lock)
    for line in audit.wrong:
        print(f"WRONG: {line}")
    for line in audit.unreached:
        print(f"NOT CHECKED: {line}")
    if audit.unreached:
        told = "which --unreached-ok allows" if "--unreached-ok" in flags else "run it where a database can be reached"
        print(f"{len(audit.unreached)} locks could not be checked: {told}.")
    return bool(audit.wrong or (audit.unreached and "--unreached-ok" not in flags))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
