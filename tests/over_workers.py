"""Runs tests with the engines elsewhere: `python tests/over_workers.py pytest tests/published …`.

It starts two workers of every model that these tests ask for (workers.py) and names them in HARK_COMPUTE, which every
server of the tests reads. Whoever has a cluster names it there and runs pytest alone. Left out is what is marked
`here`: what is about engines of the server itself.
"""

import os
import subprocess
import sys

from workers import Workers


def main():
    workers = Workers("scripted", "moonshine-tiny-en", count=2)
    try:
        return subprocess.run(sys.argv[1:], env=os.environ | {"HARK_COMPUTE": workers.url}, check=False).returncode
    finally:
        workers.stop()


if __name__ == "__main__":
    sys.exit(main())
