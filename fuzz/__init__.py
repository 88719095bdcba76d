"""What tries Hark with input that nobody would think of: see docs/fuzzing.md.

Rule: what feeds a target is not the target's business. The same check runs over the corpus in `make test`, under a
coverage-guided fuzzer in `make fuzz`, and over one file that somebody sent.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
for folder in ("tests", "tests/session"):
    if str(ROOT / folder) not in sys.path:
        sys.path.append(str(ROOT / folder))
