"""What a session's settings are and what they mean: patches merged, model names looked up, turn detection chosen.

Rule: a patch takes effect as a whole or not at all. Refuses: models that nobody offers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec import UNSET, structs

from hark.core.settings import ModelCard, Patch, SessionSettings, SettingsError, merge
from hark.session.transcribing import Recipe

FindModel: TypeAlias = Callable[[str | None], ModelCard | None]


class Configuration:
    def __init__(self, settings: SessionSettings, find_model: FindModel) -> None:
        self.settings = settings
        self._find_model = find_model
        self._detection_chosen = settings.turn_detection != self._card(settings).turn_detection

    def update(self, patch: Patch) -> None:
        """Raises SettingsError, and nothing has changed."""
        settings = merge(self.settings, patch, self._card(SessionSettings()).name)
        card = self._card(settings)
        self._detection_chosen = self._detection_chosen or patch.turn_detection is not UNSET
        if not self._detection_chosen:  # clients of live models commit by themselves, others do not (contract C.4)
            settings = structs.replace(settings, turn_detection=card.turn_detection)
        self.settings = settings

    def recipe(self) -> Recipe:
        """How an item that begins now is to be transcribed."""
        return Recipe.of(self.settings, self._card(self.settings))

    def _card(self, settings: SessionSettings) -> ModelCard:
        """Of the model that transcribes under these settings. Raises SettingsError if nobody offers it."""
        model = settings.transcription.model if settings.transcription else None
        card = self._find_model(model)
        if card is None:
            message = (
                f'Model "{model}" is not supported in transcription mode. '
                "GET /v1/models and `hark models` list the names that there are."
            )
            raise SettingsError("transcription.model", message, code="invalid_model")
        return card
