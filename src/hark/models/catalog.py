"""Which models there are: plug-ins found by entry point, and the names that clients use for them.

Rule: clients ask for OpenAI's names, and each name OpenAI has or had is an alias of the server's default model
(contract A.7) unless the operator maps it to another, with the family's own shape of usage either way. Nothing heavy is
imported here: a plug-in lists its models, and loads one only when a worker asks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from msgspec import Struct, structs

from hark.config import Settings
from hark.core.settings import ModelCard
from hark.errors import OperatorError
from hark.models.base import EngineModel, JudgeModel, Model, ModelSpec, Options, ScorerModel, SpeakerModel, Suits
from hark.models.choice import AUTO, FALLBACK, Candidate, Choice, chosen
from hark.models.files.pull import missing, models_folder
from hark.models.names import OPENAI_NAMES, SESSION_NAMES, created, owner
from hark.models.ready import installed_packages, lacking_packages, pulled

GROUP: Final = "hark.models"
FOUND: Final = "hark.models.found"
DEFAULT_ENGINE: Final = "moonshine-tiny-en"
DEFAULT_SCORER: Final = "silero-vad"
DEFAULT_JUDGE: Final = "smart-turn"
DEFAULT_SPEAKERS: Final = "speaker-campplus-en"
NO_JUDGE: Final = "none"
NO_SPEAKERS: Final = "none"


class Offer(Struct, frozen=True):
    """A name that clients may use. `engine` is the local model that transcribes for it; `kind` says whether the name
    stands for a model that transcribes or for that of a realtime session, of which Hark runs the listening half."""

    name: str
    kind: Literal["transcription", "session"]
    engine: str
    created: int
    owned_by: str


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


def found_in(folder: Path) -> dict[str, Model]:
    """Every model that a plug-in recognises in the models folder by what lies there, and that nobody listed."""
    found: dict[str, Model] = {}
    for entry in entry_points(group=FOUND):
        for model in entry.load()(folder):
            found.setdefault(model.spec.name, model)
    return found


def configured(models: dict[str, Model], settings: Settings, folder: Path | None = None) -> Catalog:
    """The catalog of these models, and of those that lie in the models folder, that the settings ask for; `folder`:
    where pulled files are, if not where the settings say. Raises OperatorError."""
    folder = models_folder(settings.models_dir) if folder is None else folder
    models = found_in(folder) | models
    choice = None
    if not settings.engines_here:
        settings = settings.model_copy(update={"model": FALLBACK if _auto(settings) else settings.model})
        models = elsewhere(models, _named(models, settings, settings.model))
    elif _auto(settings):
        choice = chosen([_candidate(model.spec, folder) for model in models.values() if isinstance(model, EngineModel)])
    return Catalog(
        under_options(models, settings.model_option_table()),
        settings.model if choice is None else choice.name,
        settings.voice_model,
        settings.turn_model,
        settings.speaker_model or _speakers(models, folder),
        aliases=settings.alias_table(),
        unnamed=settings.transcription_model,
        unpulled=[name for name, model in models.items() if not pulled(model.spec, folder)],
        choice=choice,
    )


def elsewhere(models: dict[str, Model], engines: Collection[str]) -> dict[str, Model]:
    """The same with these engines alone, which other machines run: nothing of them has to be here. All of them where
    one is not known, for whoever tells of it."""
    wanted = {name.casefold() for name in engines}
    if wanted - {name.casefold() for name in models}:
        return models
    bare = {"files": (), "modules": (), "install": None}
    return {
        name: structs.replace(model, spec=structs.replace(model.spec, **bare), configure=None)
        if isinstance(model, EngineModel)
        else model
        for name, model in models.items()
        if not isinstance(model, EngineModel) or name.casefold() in wanted
    }


def _named(models: dict[str, Model], settings: Settings, default: str) -> list[str]:
    """The engines that these settings name: the default, those of aliases, and one that clients get who name none,
    unless its name is OpenAI's, which the default has then."""
    own = {name.casefold() for name in models} - {card.name.casefold() for card in OPENAI_NAMES}
    unnamed = settings.transcription_model
    return [default, *settings.alias_table().values(), *([unnamed] if unnamed and unnamed.casefold() in own else [])]


def _auto(settings: Settings) -> bool:
    return settings.model.casefold() == AUTO


def renamed(catalog: Catalog, settings: Settings) -> Catalog:
    """The same models, under the names that these settings ask for. Raises OperatorError for a name that stands for
    none, and for a model whose files are not here."""
    folder, models = models_folder(settings.models_dir), catalog.models
    if not settings.engines_here:  # none is loaded here, so that others may be named
        there = found_in(folder) | installed()
        there = elsewhere(there, _named(there, settings, catalog.engine.spec.name))
        models = under_options(there, settings.model_option_table())
    made = Catalog(
        models,
        catalog.engine.spec.name,
        catalog.scorer.spec.name,
        catalog.judge.spec.name if catalog.judge else NO_JUDGE,
        catalog.speakers.spec.name if catalog.speakers else NO_SPEAKERS,
        aliases=settings.alias_table(),
        unnamed=settings.transcription_model,
        unpulled=[name for name, model in models.items() if not pulled(model.spec, folder)],
        choice=catalog.choice,
    )
    if absent := missing(made.files(), folder, closely=False):
        names = " ".join(absent)
        raise OperatorError(f"The files of {names} are not on this machine. Run `hark pull {names}` first.")
    return made


def _candidate(spec: ModelSpec, folder: Path) -> Candidate:
    return Candidate(spec.name, spec.suits or Suits(), installed=installed_packages(spec), pulled=pulled(spec, folder))


def under_options(models: dict[str, Model], options: Options) -> dict[str, Model]:
    """The same models as they are with these options set. Raises OperatorError for an option that none takes."""
    known = {name for model in models.values() for name in model.spec.options}
    for name in options:
        if name not in known and name not in Settings.model_fields:
            raise OperatorError(
                f"--model-options: no installed model takes '{name}'. There are: {', '.join(sorted(known)) or 'none'}."
            )
    return {
        name: structs.replace(model, spec=model.configure(options))
        if isinstance(model, EngineModel) and model.configure
        else model
        for name, model in models.items()
    }


def _speakers(models: dict[str, Model], folder: Path) -> str:
    """The default model of voices if it can be used as things are."""
    model = models.get(DEFAULT_SPEAKERS)
    ready = model is not None and installed_packages(model.spec) and pulled(model.spec, folder)
    return DEFAULT_SPEAKERS if ready else NO_SPEAKERS


class Catalog:
    """`default`: the engine that transcribes for every name of OpenAI's. `aliases`: name -> engine, the operator's own
    names, or other engines for OpenAI's. `unnamed`: the name that counts for clients that send none, else `default`.
    `unpulled`: models whose files are not here. `choice`: how `default` was chosen, if nobody did.

    An engine whose packages are missing has no name for clients. One without its files has, but for names that are
    OpenAI's too, which stand for the default until then. Names match without regard to case. Raises OperatorError for
    what is not there.
    """

    def __init__(
        self,
        models: dict[str, Model],
        default: str = DEFAULT_ENGINE,
        scorer: str = DEFAULT_SCORER,
        judge: str = DEFAULT_JUDGE,
        speakers: str = NO_SPEAKERS,
        *,
        aliases: Mapping[str, str] = MappingProxyType({}),
        unnamed: str | None = None,
        unpulled: Collection[str] = (),
        choice: Choice | None = None,
    ) -> None:
        self.models = models
        self.choice = choice
        self.engine = models[self._known(default, EngineModel, f"--model {default}")]
        self.scorer = models[self._known(scorer, ScorerModel, f"--voice-model {scorer}")]
        self.judge: Model | None = None
        if judge.casefold() != NO_JUDGE:
            self.judge = models[self._known(judge, JudgeModel, f"--turn-model {judge}", NO_JUDGE)]
        self.speakers: Model | None = None
        if speakers.casefold() != NO_SPEAKERS:
            self.speakers = models[self._known(speakers, SpeakerModel, f"--speaker-model {speakers}", NO_SPEAKERS)]
        default = self.engine.spec.name
        self._unpulled = unpulled
        own = [
            self._by(ModelCard(name, name), name) for name in self._usable() if name == default or name not in unpulled
        ]
        later = [self._by(ModelCard(name, name), name) for name in self._usable() if name in unpulled]
        openai = [self._by(card, default) for card in OPENAI_NAMES]
        self._cards = {card.name.casefold(): card for card in (*later, *openai, *own)}
        self._aliased = [self._alias(name, engine) for name, engine in aliases.items()]
        self._cards |= {card.name.casefold(): card for card in self._aliased}
        self._unnamed = self._cards[default.casefold()] if unnamed is None else self._default_name(unnamed)

    def find(self, name: str | None) -> ModelCard | None:
        """The card of a model name; that of clients that name none for None; None for a name that nobody offers."""
        return self._unnamed if name is None else self._cards.get(name.casefold())

    def names(self) -> list[str]:
        """Every transcription model name that clients may use."""
        return sorted(card.name for card in self._cards.values())

    def offers(self) -> list[Offer]:
        """Every name that clients may use, sessions' too: the local models' own first, then the operator's, then
        OpenAI's."""
        cards = sorted(
            self._cards.values(),
            key=lambda card: (card.name != card.engine, card not in self._aliased, card.name in self._unpulled),
        )
        listed = [
            Offer(card.name, "transcription", card.engine, created(card.name), owner(card.name)) for card in cards
        ]
        heard_by = self._unnamed.engine
        return listed + [Offer(name, "session", heard_by, created(name), owner(name)) for name in SESSION_NAMES]

    def engines(self) -> list[str]:
        """The engines to load before the first session: what OpenAI's names stand for, and what no name does."""
        return list(dict.fromkeys((self.engine.spec.name, self._unnamed.engine)))

    def files(self) -> list[str]:
        """What must be pulled before the scorer and every engine that the settings name can be loaded."""
        named = dict.fromkeys((*self.engines(), *(card.engine for card in self._aliased), self.scorer.spec.name))
        return list(dict.fromkeys(file for name in named for file in self.models[name].spec.files))

    def optional_files(self) -> list[str]:
        """What the turn judge and the model of voices need, without which a server can be."""
        wanted = [model for model in (self.judge, self.speakers) if model is not None]
        return [file for model in wanted for file in model.spec.files]

    def _usable(self) -> list[str]:
        """The engines whose packages are installed."""
        engines = {name: model for name, model in self.models.items() if isinstance(model, EngineModel)}
        return [name for name, model in engines.items() if installed_packages(model.spec)]

    def _alias(self, name: str, engine: str) -> ModelCard:
        taken = {*self.models, *SESSION_NAMES} - {card.name for card in OPENAI_NAMES}
        if name.casefold() in (other.casefold() for other in taken):
            raise OperatorError(
                f"--aliases {name}={engine}: '{name}' is the name of a local model or of a realtime session's, which "
                "stands for nothing else. Choose another name."
            )
        engine = self._known(engine, EngineModel, f"--aliases {name}={engine}")
        return self._by(self._cards.get(name.casefold(), ModelCard(name, engine)), engine)

    def _by(self, card: ModelCard, engine: str) -> ModelCard:
        """The card of a name for which this engine transcribes."""
        spec = self.models[engine].spec
        known = spec.languages
        return structs.replace(card, engine=engine, knows=known, partials=spec.partials, streams=spec.streams)

    def _default_name(self, name: str) -> ModelCard:
        card = self.find(name)
        if card is None:
            raise OperatorError(
                f"--transcription-model {name}: no such model name. There are: {', '.join(self.names())}."
            )
        return card

    def _known(self, name: str, kind: type[Model], said: str, *besides: str) -> str:
        """The name as its plug-in spells it. `said` is the option as the operator gave it, `besides` what it may be
        besides a model."""
        offered = {known: model.spec for known, model in sorted(self.models.items()) if isinstance(model, kind)}
        for known, spec in offered.items():
            if known.casefold() == name.casefold():
                if absent := lacking_packages(spec):
                    raise OperatorError(f"{said} cannot be used. {absent}")
                return known
        usable = [known for known, spec in offered.items() if installed_packages(spec)]
        raise OperatorError(f"{said}: no such model is installed. There are: {', '.join((*usable, *besides))}.")
