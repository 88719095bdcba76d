"""Which models there are: plug-ins found by entry point, and the names that clients use for them.

Rule: clients ask for OpenAI's names, and each name OpenAI has or had is an alias of the server's default model
(contract A.7), with the family's own shape of usage. Nothing heavy is imported here: a plug-in lists its models, and
loads one only when a worker asks.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Final

from msgspec import structs

from hark.core.settings import ModelCard
from hark.errors import OperatorError
from hark.models.base import EngineModel, Model, ScorerModel

GROUP: Final = "hark.models"
DEFAULT_ENGINE: Final = "moonshine-tiny-en"
DEFAULT_SCORER: Final = "silero-vad"

# Usage is in tokens for the gpt-4o family and in seconds for the others (contract fact 11). The live ones commit by
# themselves; gpt-transcribe and gpt-live-transcribe name the languages that they heard (contract D.2).
OPENAI_NAMES: Final = (
    ModelCard("whisper-1", ""),
    ModelCard("gpt-4o-transcribe", "", usage="tokens"),
    ModelCard("gpt-4o-mini-transcribe", "", usage="tokens"),
    ModelCard("gpt-4o-mini-transcribe-2025-03-20", "", usage="tokens"),
    ModelCard("gpt-4o-mini-transcribe-2025-12-15", "", usage="tokens"),
    ModelCard("gpt-4o-transcribe-diarize", "", usage="tokens"),
    ModelCard("gpt-transcribe", "", languages=True),
    ModelCard("gpt-live-transcribe", "", live=True, languages=True),
    ModelCard("gpt-realtime-whisper", "", live=True),
    # Not OpenAI's, but asked for all the same by people who come from other servers (contract A.7).
    *(ModelCard(f"whisper-{size}", "") for size in ("tiny", "base", "small", "medium", "large-v2", "large-v3")),
    ModelCard("whisper-large-v3-turbo", ""),
)


def installed() -> dict[str, Model]:
    """Every model that an installed plug-in offers, by name. Raises OperatorError if a plug-in is broken."""
    found: dict[str, Model] = {}
    for entry in entry_points(group=GROUP):
        try:
            offered = entry.load()()
        except Exception as error:
            message = (
                f"The model plug-in '{entry.name}' ({entry.value}) cannot be imported: {error}. Reinstall or remove it."
            )
            raise OperatorError(message) from error
        for model in offered:
            if model.spec.name in found:
                message = f"Two plug-ins offer a model '{model.spec.name}': '{entry.name}' and another. Remove one."
                raise OperatorError(message)
            found[model.spec.name] = model
    return found


class Catalog:
    """`default`: the engine that transcribes for every alias, and for clients that name no model."""

    def __init__(self, models: dict[str, Model], default: str = DEFAULT_ENGINE, scorer: str = DEFAULT_SCORER) -> None:
        self.models = models
        self.engine = models[self._known(default, EngineModel, "--model")]
        self.scorer = models[self._known(scorer, ScorerModel, "--voice-model")]
        own = {name: ModelCard(name, name) for name, model in models.items() if isinstance(model, EngineModel)}
        aliases = {card.name: structs.replace(card, engine=default) for card in OPENAI_NAMES}
        self._cards = aliases | own

    def find(self, name: str | None) -> ModelCard | None:
        """The card of a model name; of the default for None; None for a name that nobody offers."""
        return self._cards.get(name if name is not None else self.engine.spec.name)

    def names(self) -> list[str]:
        """Every transcription model name that clients may use."""
        return sorted(self._cards)

    def files(self) -> list[str]:
        """What must be pulled before the default engine and the scorer can be loaded."""
        return [*self.engine.spec.files, *self.scorer.spec.files]

    def _known(self, name: str, kind: type[EngineModel] | type[ScorerModel], option: str) -> str:
        offered = sorted(known for known, model in self.models.items() if isinstance(model, kind))
        if name not in offered:
            raise OperatorError(f"{option} {name}: no such model is installed. There are: {', '.join(offered)}.")
        return name
