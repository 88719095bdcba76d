"""The plug-in API: what a package must offer so that Hark can run its models.

A package registers a `Plugin` under the entry-point group "hark.models"; Hark's own models use the same door. Loading
the entry point must be cheap: heavy imports belong in `load`, which runs in a worker, off the event loop.

Rule: a model is a function of a batch. It keeps nothing of a session; what must be remembered goes in and comes out as
state. `transcribe` and `score` may block, and are called by one thread at a time, but for engines whose `threads` says
that they can do with more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from hark.core.work import Audio, Hypothesis, VoiceState


class Utterance(Struct, frozen=True):
    """One piece of speech: `audio` is mono float32 [n] at 16 kHz; the rest are hints, which a model may ignore.
    `language` and `languages` are of those that its spec lists, if it lists any. An engine that takes only a prompt may
    put the keywords into it, in front, and then has the trait `keywords` too: how is its own business. Whatever it
    makes of them, no word of `prompt` and `keywords` may come back that was not said (session/guard.py helps).
    `languages`: those that it may be in, where `language` is None and not all are possible. `final`: nothing more of
    this speech is expected to follow. `draft` is what the engine put into the `draft` of its hypothesis about a shorter
    part of this audio."""

    audio: Audio
    language: str | None = None
    languages: tuple[str, ...] = ()
    prompt: str | None = None
    keywords: tuple[str, ...] = ()
    final: bool = True
    draft: tuple[int, ...] = ()


class Engine(Protocol):
    """Transcribes batches of utterances. It may have a `close()`, which is called once, without arguments, when nobody
    calls `transcribe` any more: for memory that is not Python's, connections, threads. One in a process of its own has
    2 s for it, and is not told where that process is ended from outside."""

    def transcribe(self, batch: Sequence[Utterance]) -> list[Hypothesis]:
        """One hypothesis for each utterance, in order. Raises ModelError, or anything, if the whole batch failed."""


class Scorer(Protocol):
    """Gives the probability of speech for windows of 512 samples at 16 kHz."""

    def score(self, batch: Sequence[tuple[Audio, VoiceState]]) -> list[tuple[NDArray[np.float32], VoiceState]]:
        """For each (audio [n * 512], state or None at the start): probabilities float32 [n], and the new state.

        The sessions of a batch may have different n; how they are grouped must not change any probability by more than
        rounding does.
        """


class TurnJudge(Protocol):
    """Tells whether a talker who has paused is done."""

    def judge(self, batch: Sequence[Audio]) -> list[float]:
        """For each piece of a turn (audio [n], mono at 16 kHz, from its start or from later to just after its last
        word): the probability in [0, 1] that the turn is over."""


class SpeakerEncoder(Protocol):
    """Makes voices into vectors."""

    def embed(self, batch: Sequence[Audio]) -> Sequence[NDArray[np.float32]]:
        """For each piece of speech (audio [n], mono at 16 kHz, of one voice, any n): a vector float32 [d]. By cosine,
        those of one voice are near to each other and those of two are not; session/speakers.py says how near."""


# What an operator set for a model, by the names in its spec.
Options: TypeAlias = Mapping[str, str | int | float | bool]
NO_OPTIONS: Final[Options] = MappingProxyType({})


class LoadOptions(Struct, frozen=True):
    """What the host grants a model: the folder with the files its spec names, how many threads it may keep busy, and
    those of the options that its spec names which the operator set. A key may be among them: they are not shown."""

    folder: Path
    threads: int = 1
    options: Options = NO_OPTIONS

    def __repr__(self) -> str:
        return f"LoadOptions({self.folder!r}, {self.threads}, options {sorted(self.options)})"


class Suits(Struct, frozen=True):
    """How well a model suits `--model auto`. `gpu`, `cpu`: of the models that can be loaded, the one with the greatest
    number is taken, with a CUDA GPU and without; 0: never. `memory_mb`: how much of the GPU's or the machine's memory
    it takes, about; it is not taken where there is less."""

    gpu: int = 0
    cpu: int = 0
    memory_mb: int = 0


# What of an Utterance an engine can make use of, and what its hypotheses can carry besides text.
Trait: TypeAlias = Literal["language", "languages", "prompt", "keywords", "logprobs", "words", "detects_language"]


class ModelSpec(Struct, frozen=True):
    """A model that a plug-in offers. `files` are names in the file catalog that must be pulled before `load`. A batch
    has up to `max_batch` requests, and of several ones up to `max_batch_s` seconds of audio, padding included; their
    lengths are alike, for the shorter are padded to the longest, unless `any_length` says that each costs the same.
    `languages`: the codes of those that it knows; empty: it does not say. `traits`: which hints of an Utterance it
    honours, and what its hypotheses carry (`words`: tokens with times). `threads`: how many an engine makes good use of
    in one call; the host then calls it as often at once as it has threads for. None: it is called by one thread at a
    time, and has all of them. `own_process`: an engine runs in a process of its own for each call at once, so that it
    takes no time of Python's lock from the sessions, and its crash ends none of them; its `load` then has to be a class
    or function of a module. Without, it runs in threads. `modules`: those that `load` imports and this package does not
    bring along, as `import` has them; without them the model is listed and cannot be used, and `install` is the command
    that mends it. `suits`: None: `--model auto` never takes it. `callers`: an engine that waits for others rather than
    computing is called by so many threads at once, however many cores there are. `partials`: whether it is to be asked
    about speech that goes on; without, once about each piece, when that has ended. `options`: the names of those that
    its `load` takes; they are the server's, or come from --model-options. `streams`: with a draft a partial request
    costs what is new of the audio, and a final one ends that; so it is not asked for one before the turn has ended."""

    name: str
    summary: str
    licence: str
    files: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    traits: tuple[Trait, ...] = ()
    max_batch: int = 8
    max_batch_s: float = inf
    any_length: bool = False
    threads: int | None = None
    own_process: bool = True
    modules: tuple[str, ...] = ()
    install: str | None = None
    suits: Suits | None = None
    callers: int | None = None
    partials: bool = True
    options: tuple[str, ...] = ()
    streams: bool = False


class EngineModel(Struct, frozen=True):
    """`configure`: gives the spec under options, for one that depends on them. It may be called often, and is quick."""

    spec: ModelSpec
    load: Callable[[LoadOptions], Engine]
    configure: Callable[[Options], ModelSpec] | None = None


class ScorerModel(Struct, frozen=True):
    spec: ModelSpec
    load: Callable[[LoadOptions], Scorer]


class JudgeModel(Struct, frozen=True):
    spec: ModelSpec
    load: Callable[[LoadOptions], TurnJudge]


class SpeakerModel(Struct, frozen=True):
    spec: ModelSpec
    load: Callable[[LoadOptions], SpeakerEncoder]


Model: TypeAlias = EngineModel | ScorerModel | JudgeModel | SpeakerModel


class Plugin(Protocol):
    """What the entry point names: a callable that lists the models on offer."""

    def __call__(self) -> Sequence[Model]: ...
