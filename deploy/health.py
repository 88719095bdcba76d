"""Whether the server in this container answers: exit code 0 if GET /health does, by http or https, else 1."""

import os
import ssl
import sys
import urllib.request

ANYONE = ssl._create_unverified_context()  # on loopback: who it is need not be proved

for scheme in ("http", "https"):
    try:
        address = f"{scheme}://127.0.0.1:{os.environ.get('HARK_PORT', '8000')}/health"
        with urllib.request.urlopen(address, timeout=2, context=ANYONE) as answer:
            sys.exit(answer.status != 200)
    except OSError as error:
        why = error
sys.exit(f"no answer: {why}")
