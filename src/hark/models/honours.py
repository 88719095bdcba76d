"""What each engine makes of the fields that are handed to it, as the table "Engines" of docs/api.md.

Rule: it says what the traits of a spec say, and tests/models/test_honours.py proves each cell with the engine itself.
Engines of the same family that honour the same share a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from hark.models.base import EngineModel, Model, ModelSpec, Trait

HINTS: Final[tuple[Trait, ...]] = ("language", "languages", "prompt", "keywords")
_HEAD: Final = """## Engines

What becomes of the fields above by the engine that transcribes. Honoured: what it hears depends on it. Ignored: it
changes nothing, and is no error; nor is a language that the engine does not know, which it is not told. `delay` is
honoured with every engine, as the session decides when a word is shown; so are the
[guards](turns.md#prompts-loops-scripts).

| engine | {hints} | logprobs | times of words | `languages` told |
|---|{lines}---|---|---|"""


def section(models: Mapping[str, Model]) -> str:
    """The table of Hark's own engines among `models`, as it is committed."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for name, model in sorted(models.items()):
        if isinstance(model, EngineModel) and (family := family_of(model)).startswith("hark."):
            rows.setdefault((family, *cells(model.spec)), []).append(f"`{name}`")
    head = _HEAD.replace("{hints}", " | ".join(f"`{hint}`" for hint in HINTS)).replace("{lines}", "---|" * len(HINTS))
    lines = [f"| {', '.join(names)} | {' | '.join(said)} |" for (_, *said), names in rows.items()]
    return "\n".join([head, *lines, ""])


def family_of(model: EngineModel) -> str:
    """The module of what loads it."""
    load = model.load.func if isinstance(model.load, partial) else model.load
    return load.__module__


def cells(spec: ModelSpec) -> Iterator[str]:
    """What stands in an engine's row: the fate of each hint, then what its transcripts carry."""
    alone = f": {', '.join(spec.languages)} alone" if len(spec.languages) == 1 else ""
    for hint in HINTS:
        fate = "honoured" if hint in spec.traits else "ignored"
        yield fate + (alone if hint == "language" and fate == "ignored" else "")
    yield "of each token" if "logprobs" in spec.traits else "an empty list"
    yield "as heard" if "words" in spec.traits else "estimates, in `verbose_json` alone"
    if "detects_language" in spec.traits:
        yield "as heard"
    else:
        yield f"`{spec.languages[0]}`" if len(spec.languages) == 1 else "as asked for"
