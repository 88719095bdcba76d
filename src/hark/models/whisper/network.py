"""Opens a Whisper in CTranslate2's format on the best device there is, and says how it is to be run there.

Rule: nothing is fetched from anywhere; what is missing or damaged is the operator's to mend, and the error says how.
On a GPU in float16, on a processor in int8, whatever the file holds: CTranslate2 converts it while it loads. A GPU
that cannot be used (no cuBLAS or cuDNN, too little memory) is told in the log, and the processor does the work.

Measured with models of Whisper's shapes on one 2.5 GHz core: the encoder takes 0.26 s for a window in the tiny one,
0.6 s in the base one, 2 s in the small one, whatever is in it; in a batch of 2 it is no faster, and the decoder by a
quarter. So on a processor a batch is small.
"""

from __future__ import annotations

import json
import logging
import os
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from hark.errors import OperatorError

# ctranslate2 has no types.
Network: TypeAlias = Any

CPU_BATCH: Final = 2
GPU_BATCH: Final = 16
FILES: Final = ("config.json", "model.bin", "tokenizer.json")
VOCABULARIES: Final = ("vocabulary.json", "vocabulary.txt")
# Where a driver of NVIDIA's shows itself: on Linux, and in WSL.
DRIVERS: Final = ("/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1")
MODULES: Final = ("ctranslate2", "faster_whisper", "tokenizers")
INSTALL: Final = "pip install 'hark[faster-whisper]'"

log = logging.getLogger("hark.models")


def gpu_expected() -> bool:
    """Whether this machine has a GPU of NVIDIA's that is not hidden by CUDA_VISIBLE_DEVICES. A guess that costs
    nothing, for plans; `open_network` asks the driver."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    return not hidden and any(Path(driver).exists() for driver in DRIVERS)


def require_packages(name: str) -> None:
    """Raises OperatorError where the packages behind this engine cannot be imported."""
    try:
        for module in MODULES:
            import_module(module)
    except ImportError as error:
        raise OperatorError(
            f"The model '{name}' needs the package faster-whisper, which cannot be imported ({error}). Install it "
            f"where Hark is: {INSTALL}"
        ) from error


def config(folder: Path) -> dict[str, Any]:
    """What a model's config.json holds; nothing if there is none."""
    try:
        held = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def check_files(folder: Path) -> None:
    """Raises OperatorError where the folder holds no whole model."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    wanting = [name for name in FILES if name not in names]
    if not names.intersection(VOCABULARIES):
        wanting.append(" or ".join(VOCABULARIES))
    if wanting:
        raise OperatorError(
            f"A model file is missing: {', '.join(wanting)} was expected in {folder}. Run `hark pull {folder.name}` to "
            "fetch it. A folder of your own conversion has to hold tokenizer.json, too: the converter copies it with "
            "--copy_files tokenizer.json."
        )


def open_network(folder: Path, threads: int) -> Network:
    """The ctranslate2.models.Whisper in `folder`, which keeps at most `threads` threads busy. Raises OperatorError."""
    import ctranslate2  # noqa: PLC0415

    check_files(folder)
    if ctranslate2.get_cuda_device_count():
        try:
            return _on_gpu(folder)
        except (RuntimeError, ValueError) as error:
            log.warning(
                "model %s runs on the processor, as the GPU cannot be used: %s. CTranslate2 wants cuBLAS 12 and cuDNN "
                "9 (pip install nvidia-cublas-cu12 nvidia-cudnn-cu12, and their lib folders in LD_LIBRARY_PATH)",
                folder.name,
                error,
            )
    try:
        kind = _first(("int8", "int8_float32"), ctranslate2.get_supported_compute_types("cpu"))
        network = ctranslate2.models.Whisper(
            str(folder), device="cpu", compute_type=kind, intra_threads=threads, inter_threads=1
        )
    except (RuntimeError, ValueError) as error:
        raise OperatorError(
            f"A model file cannot be read: a Whisper of CTranslate2's was expected in {folder}, and ctranslate2 "
            f"{ctranslate2.__version__} says: {error}. Remove the folder and run `hark pull {folder.name}` to fetch it "
            "again."
        ) from error
    log.info("model %s runs on the processor (%s, threads=%d)", folder.name, network.compute_type, threads)
    return network


def _on_gpu(folder: Path) -> Network:
    """Raises RuntimeError also for libraries that CTranslate2 misses only once it computes."""
    import ctranslate2  # noqa: PLC0415

    kind = _first(("float16", "float32"), ctranslate2.get_supported_compute_types("cuda"))
    network = ctranslate2.models.Whisper(str(folder), device="cuda", compute_type=kind)
    silence = np.full((1, network.n_mels, 3_000), -1.5, np.float32)
    network.encode(ctranslate2.StorageView.from_array(silence), to_cpu=True)
    log.info("model %s runs on the GPU (%s)", folder.name, network.compute_type)
    return network


def _first(wanted: tuple[str, ...], there: set[str]) -> str:
    return next((kind for kind in wanted if kind in there), "default")
