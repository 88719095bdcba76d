"""Options of the server, as a file of them would set them: config.py. What is wrong is told to the operator."""

import os
import tempfile
from pathlib import Path
from unittest.mock import patch

from pydantic import ValidationError

from hark.config import Settings
from hark.errors import OperatorError

NAMES = [f"HARK_{name.upper()}" for name in Settings.model_fields]
TOKENS = [
    *(f"\n{name}=".encode() for name in NAMES),
    b"127.0.0.1",
    b"::1",
    b"0.0.0.0",
    b"50000-50099",
    b"a=b,",
    b"true",
]
MAX_BYTES = 1_000


def seeds():
    yield "some", b"HARK_PORT=0\nHARK_HOST=::1\nHARK_ALIASES=a=b, c=d\nHARK_WEBRTC_PORTS=50000-50099\n"
    yield "quoted", b"export HARK_API_KEY='k' # mine\nHARK_MODEL_OPTIONS=\"a=1,b=2\"\nHARK_WEBRTC_ADDRESS=203.0.113.5\n"
    yield "open", b"HARK_HOST=0.0.0.0\nHARK_TLS_CERT=a\nHARK_WEBRTC_STUN=stun:x\n"
    yield "plain", "\n".join(f"{name}=5" for name in NAMES).encode()


def check(data):
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("HARK_")}
    with tempfile.NamedTemporaryFile() as file, patch.dict(os.environ, kept, clear=True):
        file.write(data)
        file.flush()
        try:
            settings = Settings(_env_file=Path(file.name))
        except (ValidationError, UnicodeDecodeError):  # cli/options.py tells of the first, config of no text is none
            return
    for step in (settings.check, settings.alias_table, settings.model_option_table, lambda: settings.data_folder):
        try:
            step()
        except OperatorError as error:
            assert len(error.message) > 15
