"""What is known of an utterance besides its audio -> what another server is told of it, by the model asked for.

Rule: OpenAI takes keywords and several languages for some names alone, and other servers know neither. So for
all others the keywords stand behind the prompt, and languages are left out.
"""

from __future__ import annotations

from typing import Final

from hark.models.base import Utterance

# The names for which OpenAI takes `keywords` and `languages` (contract A.8).
TAKE_LISTS: Final = ("gpt-transcribe", "gpt-live-transcribe")


def hints(utterance: Utterance, model: str) -> dict[str, str | tuple[str, ...]]:
    """The fields of a request that help to hear, those alone that are set."""
    lists = model.startswith(TAKE_LISTS)
    known = {
        "language": utterance.language,
        "languages": utterance.languages if lists and not utterance.language else (),
        "prompt": utterance.prompt if lists else prompted(utterance),
        "keywords": utterance.keywords if lists else (),
    }
    return {name: hint for name, hint in known.items() if hint}


def prompted(utterance: Utterance) -> str | None:
    """The prompt, with the keywords behind it as a list that ends in a full stop: "Prompt. Hark, kiosk."."""
    listed = f"{', '.join(utterance.keywords)}." if utterance.keywords else None
    return " ".join(part for part in (utterance.prompt, listed) if part) or None
