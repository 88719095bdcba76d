"""Write requirements/*.txt from pyproject.toml: pinned, hashed, for every platform, naming no index."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
COMPILE = [
    sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11",
    "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate",
]  # fmt: skip
PARTS = {
    "build.txt": ["--group", "pyproject.toml:build"],
    "base.txt": ["pyproject.toml", "-c", "requirements/build.txt"],
    "dev.txt": ["--group", "pyproject.toml:dev", "-c", "requirements/base.txt"],
    "browser.txt": ["--group", "pyproject.toml:browser", "-c", "requirements/dev.txt"],
}

for name, arguments in PARTS.items():
    target = HERE / name
    target.unlink(missing_ok=True)
    subprocess.run([*COMPILE, *arguments, "--output-file", str(target)], check=True, cwd=HERE.parent)
