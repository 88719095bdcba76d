"""One target under atheris, for as long as told: `python -m fuzz.guided TARGET SECONDS`.

A fault is kept under `.fuzz/found/TARGET/`, the input and its traceback, once for each place in the code, and the
search goes on. What ends the process, a crash of C code, 5 s or too much memory for one input, libFuzzer keeps there
too.
"""

import gc
import hashlib
import sys
import tempfile
import traceback
from itertools import count
from pathlib import Path

import atheris

from fuzz.corpus import CORPUS, FOUND, TARGETS, load

INSTRUMENTED = ["hark", "python_multipart", "starlette", "websockets", "uvicorn", "aiortc.sdp", "fuzz.ledger"]
HANG_S = 5
MEMORY_MB = 2_048
MAX_BYTES = 4_096
COLLECT_EVERY = 500


class Finds:
    def __init__(self, folder):
        self._folder = folder
        self._places = set()

    def keep(self, data, error):
        """Keep the input, unless another one has ended in the same place."""
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "/hark/" in frame.filename or "/fuzz/" in frame.filename]
        places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in (*ours[-2:], frames[-1])]
        name = hashlib.sha256(repr([type(error).__name__, places]).encode()).hexdigest()[:12]
        if name in self._places:
            return
        self._places.add(name)
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / name).write_bytes(data)
        told = "".join(traceback.format_exception(error, limit=-12, chain=False))
        (self._folder / f"{name}.txt").write_text(told, "utf-8", errors="backslashreplace")
        print(f"FOUND {self._folder / name}: {told.splitlines()[-1][:200]}", flush=True)


def search(name, seconds):
    """Does not return."""
    with atheris.instrument_imports(include=INSTRUMENTED):
        target = load(name)
    finds = Finds(FOUND / "found" / name)

    runs = count(1)

    def one(data):
        if next(runs) % COLLECT_EVERY == 0:
            gc.collect()
        try:
            target.check(data)
        except Exception as error:  # whatever it is, it is a find
            finds.keep(data, error)

    kept = FOUND / "corpus" / name
    for folder in (kept, FOUND / "found" / name, CORPUS / name):
        folder.mkdir(parents=True, exist_ok=True)
    words = Path(tempfile.mkdtemp()) / "words"
    tokens = getattr(target, "TOKENS", ())
    words.write_text("".join(f'"{_quoted(token)}"\n' for token in tokens), "ascii")
    options = [
        f"-max_total_time={seconds}", f"-timeout={HANG_S}", f"-rss_limit_mb={getattr(target, 'MEMORY_MB', MEMORY_MB)}",
        f"-max_len={getattr(target, 'MAX_BYTES', MAX_BYTES)}", f"-dict={words}", "-print_final_stats=1",
        f"-artifact_prefix={FOUND / 'found' / name}/", "-reload=0",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(kept), str(CORPUS / name)], one)
    atheris.Fuzz()


def _quoted(token):
    return "".join(f"\\x{byte:02x}" for byte in token)


if __name__ == "__main__":
    assert sys.argv[1] in TARGETS, f"Targets are {', '.join(TARGETS)}."
    search(sys.argv[1], int(sys.argv[2]))
