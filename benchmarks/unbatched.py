"""`hark serve` with batching and early finish switched off, to measure what they gain: python benchmarks/unbatched.py
serve …

Every model runs one request at a time, and what a talker said is asked for as final when the silence has ended the
turn, not when it began. All else is Hark as it is: partial hypotheses, threads, the queue. Refuses: to start if the
code has changed so that this would switch off nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import structs

from hark.cli.main import main
from hark.models.moonshine import engine as moonshine
from hark.models.silero import scorer as silero
from hark.session.jobs import Segment


def one_at_a_time(plugin: Callable[[], list[Any]]) -> Callable[[], list[Any]]:
    models = plugin()
    assert all(model.spec.max_batch > 1 for model in models)
    return lambda: [structs.replace(m, spec=structs.replace(m.spec, max_batch=1)) for m in models]


def switch_off() -> None:
    for module in (moonshine, silero):
        module.plugin = one_at_a_time(module.plugin)  # type: ignore[assignment]
    assert isinstance(Segment.pausing, property)
    Segment.pausing = property(lambda _: False)  # type: ignore[assignment]


if __name__ == "__main__":
    switch_off()
    main()
