"""What the client tells the engine besides the audio, and what of it the engine can make use of.

Rule: a language that the engine does not know is not asked of it, and the log says so: OpenAI's models know them all,
so a refusal would break clients that work there. Refuses: nothing.
"""

from __future__ import annotations

from msgspec import Struct

from hark.core.languages import CODES
from hark.core.settings import ModelCard, Transcription


class Hints(Struct, frozen=True):
    """`languages`: those that the text may be in, by ISO 639-1, as far as the client knows."""

    prompt: str | None = None
    keywords: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    @classmethod
    def of(cls, chosen: Transcription) -> Hints:
        named = (chosen.language, *chosen.languages)
        return cls(chosen.prompt, chosen.keywords, tuple(dict.fromkeys(_code(name) for name in named if name)))

    def known(self, card: ModelCard) -> tuple[str, ...]:
        """The languages that the engine can be asked for."""
        return tuple(code for code in self.languages if code in card.knows or not card.knows)

    def notice(self, card: ModelCard) -> str | None:
        """What the log should say of languages that it cannot be asked for."""
        unknown = [f"'{code[:20]}'" for code in self.languages if code not in self.known(card)]
        if not unknown:
            return None
        knows = ", ".join(card.knows[:5]) + (", …" if len(card.knows) > 5 else "")
        return (
            f"The client asks for {', '.join(unknown[:5])}, a language that '{card.engine}' does not know (it knows: "
            f"{knows}), so the model is not told. Serve one that knows it, or map the client's model name to one with "
            "--aliases."
        )


def _code(name: str) -> str:
    """Clients send "en-US" and "English" where "en" is meant (contract G.2)."""
    spelled = name.strip().casefold()
    return CODES.get(spelled) or spelled.replace("_", "-").partition("-")[0]
