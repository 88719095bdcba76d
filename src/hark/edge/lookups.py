"""Questions to the key store, asked in threads, with an end to the waiting.

Rule: the loop that carries all sessions never waits for a disk or for who holds a file. Who is asked about waits, in
line behind at most THREADS others, and after PATIENCE_S is told to come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from hark.errors import StorageError, UnavailableError

T = TypeVar("T")

THREADS: Final = 4
PATIENCE_S: Final = 6.0  # a second more than the store's own with who holds it
RETRY_AFTER_S: Final = 5
_threads: Final = ThreadPoolExecutor(THREADS, "hark-keys")


async def look_up(question: Callable[[], T]) -> T:
    """Its answer. Raises what it raises, and StorageError if none comes in time."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.get_running_loop().run_in_executor(_threads, question)
    except TimeoutError:
        told = (
            "This server cannot look up API keys: its key store does not answer. Its log says what to do. Please try "
            f"again in {RETRY_AFTER_S}s."
        )
        raise StorageError(
            f"The key store did not answer within {PATIENCE_S:.0f} s. See who holds it, and whether its disk works.",
            UnavailableError(told, code="key_store_unavailable", retry_after_s=RETRY_AFTER_S),
        ) from None
