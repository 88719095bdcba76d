"""Write requirements/*.txt from pyproject.toml, and the locks of the audit, of the Python clients and of the peers that
are measured beside their `.in` files: pinned, hashed, for every platform, naming no index.
"""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CLIENTS = HERE.parent / "tests" / "clients" / "python"
PEERS = HERE.parent / "benchmarks" / "peers"
COMPILE = [
    sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal",
    "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate",
]  # fmt: skip
PARTS = {
    "build.txt": ["--group", "pyproject.toml:build"],
    "base.txt": ["pyproject.toml", "-c", "requirements/build.txt"],
    "dev.txt": ["--group", "pyproject.toml:dev", "-c", "requirements/base.txt"],
    "browser.txt": ["--group", "pyproject.toml:browser", "-c", "requirements/dev.txt"],
    "ray.txt": ["pyproject.toml", "--extra", "ray", "-c", "requirements/build.txt", "-c", "requirements/dev.txt"],
    "fuzz.txt": ["--group", "pyproject.toml:fuzz", "-c", "requirements/dev.txt"],
}


def lock(target: Path, *arguments: str, python: str = "3.11") -> None:
    target.unlink(missing_ok=True)
    command = [*COMPILE, "--python-version", python, *arguments, "--output-file", str(target)]
    subprocess.run(command, check=True, cwd=HERE.parent)


for name, arguments in PARTS.items():
    lock(HERE / name, *arguments)
for client in sorted([*HERE.glob("*.in"), *CLIENTS.glob("*.in"), *PEERS.glob("*.in")]):
    newer = re.search(r"^# Python (\S+)$", client.read_text("utf-8"), re.MULTILINE)
    lock(client.with_suffix(".txt"), str(client), python=newer[1] if newer else "3.11")
