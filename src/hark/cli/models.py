"""`hark models`: which models there are on this machine, and every name that clients may use for them.

Rule: the names are those of GET /v1/models under the same settings, so what this prints is what a client is offered.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from cyclopts import Parameter
from msgspec import Struct
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hark.config import Settings
from hark.models.base import EngineModel, JudgeModel, Model, ScorerModel, SpeakerModel
from hark.models.catalog import Catalog, configured, installed
from hark.models.files.pull import missing, models_folder, size_there
from hark.models.files.table import lookup
from hark.models.ready import installed_packages, lacking, pull_command

Kind: TypeAlias = Literal["transcription", "voice", "turns", "speakers"]
KINDS: Final[dict[type[Model], Kind]] = {
    EngineModel: "transcription",
    ScorerModel: "voice",
    JudgeModel: "turns",
    SpeakerModel: "speakers",
}

MOST_LANGUAGES: Final = 6
MIN_WIDTH: Final = 20


class LocalModel(Struct, frozen=True):
    """A model that an installed plug-in offers. `languages` empty: it does not say, or does not care.

    `bytes` counts the files that `hark pull` fetches, before that about; `pulled`: all of them are there, and whole;
    `pull` is the command that fetches them, None where nothing is to be fetched. `default`: `hark serve` uses it.
    `installed`: the packages that it wants are there; `install` is the command for them, None where it wants none.
    `problem`: why it cannot be loaded, and the mend.
    """

    name: str
    kind: Kind
    summary: str
    licence: str
    languages: tuple[str, ...]
    bytes: int
    pulled: bool
    pull: str | None
    default: bool
    installed: bool
    install: str | None
    problem: str | None


class Name(Struct, frozen=True):
    """A name for clients, as GET /v1/models has it, and the local model that transcribes for it."""

    id: str
    created: int
    owned_by: str
    kind: Literal["transcription", "session"]
    model: str
    object: Literal["model"] = "model"


class Listing(Struct, frozen=True):
    """What `--json` prints. `chosen`: why the default model is what it is, where `--model` is auto."""

    folder: str
    chosen: str | None
    models: list[LocalModel]
    data: list[Name]
    object: Literal["list"] = "list"


def models_command(
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print JSON, for programs.")] = False,
    models_dir: Annotated[Path | None, Parameter(help="Where pulled files lie, instead of the user's cache.")] = None,
) -> None:
    """List the models on this machine, and the names that clients may use for them."""
    settings = Settings()
    folder = models_folder(models_dir or settings.models_dir)
    listing = listing_of(configured(installed(), settings, folder), folder)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(listing), indent=2).decode())
        return
    console = Console(highlight=False)
    console.print(_models_text(listing, console.width), soft_wrap=True, markup=False)
    console.print("", _names_table(listing))
    if listing.chosen is not None:
        console.print(f"\n--model auto is {listing.chosen}.", soft_wrap=True, markup=False)
    console.print(f"\nFiles are in {listing.folder}", soft_wrap=True, markup=False)


def listing_of(catalog: Catalog, folder: Path) -> Listing:
    """Everything there is. Hashes the model files: some 30 ms for the default ones."""
    used = [model.spec.name for model in (catalog.scorer, catalog.judge, catalog.speakers) if model is not None]
    defaults = {*catalog.engines(), *used}
    local = [_local(model, folder, default=name in defaults) for name, model in sorted(catalog.models.items())]
    names = [Name(offer.name, offer.created, offer.owned_by, offer.kind, offer.engine) for offer in catalog.offers()]
    choice = f"{catalog.choice.name}: {catalog.choice.why}" if catalog.choice else None
    return Listing(str(folder), choice, local, names)


def _local(model: Model, folder: Path, *, default: bool) -> LocalModel:
    spec = model.spec
    return LocalModel(
        name=spec.name,
        kind=KINDS[type(model)],
        summary=spec.summary,
        licence=spec.licence,
        languages=spec.languages,
        bytes=sum(size_there(entry, folder) for entry in lookup(spec.files)),
        pulled=not missing(spec.files, folder),
        pull=pull_command(spec) if spec.files else None,
        default=default,
        installed=installed_packages(spec),
        install=spec.install,
        problem=lacking(spec, folder),
    )


def _models_text(listing: Listing, width: int) -> str:
    """A line with name, size and files, which are one glance each, and what the model is below: a table of all that
    would break every word of it in a terminal."""
    # What is in use, then what could be at once: the rest is long.
    models = sorted(listing.models, key=lambda each: (not each.default, not (each.installed and each.pulled)))
    names = max((len(_shown(model)) for model in models), default=0)
    left = names + len("  1234.5  ")
    lines = [f"{'model':<{names}}  {'MB':>6}  files"]
    for model in models:
        size = f"{model.bytes / 1e6:.1f}" if model.bytes else ""
        first, *more = _wrapped(_files(model), max(width - left, MIN_WIDTH))
        lines.append(f"{_shown(model):<{names}}  {size:>6}  {first}")
        lines += [" " * left + line for line in more]
        languages = f" Languages: {_some(model.languages)}." if model.languages else ""
        about = f"{model.summary} Licence: {model.licence}.{languages}"
        lines += ["  " + line for line in _wrapped(about, max(width - 2, MIN_WIDTH))]
    return "\n".join([*lines, "* in use"])


def _shown(model: LocalModel) -> str:
    return f"{model.name} *" if model.default else model.name


def _files(model: LocalModel) -> str:
    """Whether they are there, or the commands that fetch them."""
    files = "needs none" if model.pull is None else "pulled" if model.pulled else model.pull
    if model.installed:
        return files
    then = f"; then {model.pull}" if model.pull and not model.pulled else ""
    return f"{model.install or model.problem}{then}"


def _wrapped(text: str, width: int) -> list[str]:
    """Between words, for a command or a name that is cut cannot be copied."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _some(languages: tuple[str, ...]) -> str:
    """Of a hundred languages, the first ones."""
    named = ", ".join(languages[:MOST_LANGUAGES])
    return named if len(languages) <= MOST_LANGUAGES else f"{named} and {len(languages) - MOST_LANGUAGES} more"


def _names_table(listing: Listing) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("name for clients", "transcribes with", "for"):
        table.add_column(title, overflow="fold")
    for name in listing.data:
        kind = "realtime" if name.kind == "session" else "transcription"
        table.add_row(escape(name.id), escape(name.model), kind)
    return table
