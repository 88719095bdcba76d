"""`hark doctor`: walk up to a server and say why a client cannot connect; or read a log of one that failed.

Rule: people read the steps as they are made, programs read one JSON document at the end; the exit code is 0 where
nothing was broken, 1 where something was, 2 for a wrong command line. No key is printed.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from hark.audio.files import read_audio
from hark.cli import trust
from hark.config import Settings
from hark.core.work import SAMPLE_RATE, Audio
from hark.doctor.logs import read_log
from hark.doctor.patient import Patient
from hark.doctor.reading import diagnose
from hark.doctor.report import Outcome, Report, Step, report
from hark.doctor.target import hidden, target
from hark.doctor.walk import walk
from hark.errors import CallerError, HarkError
from hark.models.files.pull import models_folder

HERE: Final = "http://127.0.0.1:8000"
SAMPLE: Final = "samples/beckett.wav"
# Enough for some words, little enough for a slow line.
SPEECH_S: Final = 3.1
SIGNS: Final[dict[Outcome, tuple[str, str]]] = {
    "ok": ("✓", "green"), "note": ("!", "yellow"), "broken": ("✗", "bold red"), "skipped": ("–", "dim"),
}  # fmt: skip


def doctor_command(
    url: Annotated[
        str | None, Parameter(help="A base URL, or the URL of the client's WebSocket. Default: OPENAI_BASE_URL.")
    ] = None,
    /,
    *,
    api_key: Annotated[
        str | None, Parameter(help="The client's key or client secret. Default: HARK_API_KEY, then OPENAI_API_KEY.")
    ] = None,
    model: Annotated[str | None, Parameter(help="The model that the client asks for.")] = None,
    dialect: Annotated[Literal["ga", "beta"], Parameter(help="The dialect that the client speaks.")] = "ga",
    file: Annotated[Path | None, Parameter(help="Speech to send, instead of a sample.")] = None,
    log: Annotated[
        Path | None, Parameter(help="Instead of asking a server, read this log of a client's events.")
    ] = None,
    insecure: Annotated[
        bool, Parameter(negative="", show_default=False, help="Take whatever certificate the server shows.")
    ] = False,
    as_json: Annotated[
        bool, Parameter(name="--json", negative="", show_default=False, help="Print JSON, for programs.")
    ] = False,
) -> int:
    """Find out why a client cannot connect: to Hark, to OpenAI, or to any server of their Realtime API."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode gets question marks, not a trace
    console = Console(highlight=False)
    complaints = Console(stderr=True, highlight=False)
    try:
        if log is not None:
            if url is not None:
                raise CallerError("Expected a URL, to ask a server, or --log, to read a log; got both.")
            return _tell(report(str(log), diagnose(read_log(log))), console, as_json=as_json)
        given = url or os.environ.get("OPENAI_BASE_URL") or HERE
        address = hidden(given)
        settings = Settings()
        asked = target(given)
        patient = Patient(
            target=asked,
            credential=api_key or _key_from_outside(settings, asked.host),
            model=model,
            dialect=dialect,
            audio=_speech(file, settings),
            tls=trust.nobody() if insecure else trust.usual(settings),
            insecure=insecure,
        )
    except CallerError as error:
        complaints.print(f"hark doctor: {error.message}", markup=False, soft_wrap=True)
        return 2
    try:
        return asyncio.run(_examine(address, patient, console, as_json=as_json))
    except KeyboardInterrupt:
        return 130


async def _examine(address: str, patient: Patient, console: Console, *, as_json: bool) -> int:
    steps: list[Step] = []
    told: set[str] = set()
    if not as_json:
        console.print(f"hark doctor {address}\n", markup=False, soft_wrap=True)
    async for step in walk(patient):
        steps.append(step)
        if not as_json:
            _show(step, console, told)
    whole = report(address, steps)
    if as_json:
        return _tell(whole, console, as_json=True)
    _conclude(whole, console)
    return 0 if whole.healthy else 1


def _tell(whole: Report, console: Console, *, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(whole), indent=2).decode() + "\n")
    else:
        console.print(f"hark doctor --log {whole.url}\n", markup=False, soft_wrap=True)
        told: set[str] = set()
        for step in whole.steps:
            _show(step, console, told)
        _conclude(whole, console)
    return 0 if whole.healthy else 1


def _show(step: Step, console: Console, told: set[str]) -> None:
    """A finding is explained once: `told` holds what has been."""
    sign, style = SIGNS[step.outcome]
    line = Text.assemble((f" {sign} ", style), (f"{step.floor:<10}", "bold"), step.did)
    took = f" ({step.ms:.0f} ms)" if step.ms is not None else ""
    if step.got:
        line.append(f" → {step.got}{took}", "" if step.outcome == "ok" else style)
    console.print(line, soft_wrap=True)
    if step.finding is None:
        return
    words = {"name": step.finding, "means": step.means, "mend": step.mend}
    if f"{step.means} {step.mend}" in told:
        words = {"name": f"{step.finding}, as above"}
    told.add(f"{step.means} {step.mend}")
    for label, text in words.items():
        if text:
            console.print(Text.assemble(" " * 13, (f"{label:<6}", "dim"), text), soft_wrap=True)


def _conclude(whole: Report, console: Console) -> None:
    notes = len({step.finding for step in whole.steps if step.outcome == "note"})
    beside = f" {notes} notes beside it." if notes > 1 else " One note beside it." if notes else ""
    if whole.healthy:
        console.print(Text.assemble("\n", ("Nothing is broken.", "bold green"), beside))
    else:
        console.print(Text.assemble("\n", (f"Broken: {whole.finding}.", "bold red"), beside), soft_wrap=True)


def _key_from_outside(settings: Settings, host: str) -> str | None:
    """The key of the environment. Hark's own has no business at OpenAI."""
    own = settings.api_key.get_secret_value() if settings.api_key else None
    openai = os.environ.get("OPENAI_API_KEY") or None
    return openai if host == "openai.com" or host.endswith(".openai.com") else own or openai


def _speech(file: Path | None, settings: Settings) -> Audio | None:
    """Raises CallerError where a file that was named cannot be read."""
    if file is not None:
        return read_audio(file)
    sample = models_folder(settings.models_dir) / SAMPLE
    try:
        return read_audio(sample)[: round(SPEECH_S * SAMPLE_RATE)]
    except HarkError:
        return None
