"""`hark`: the commands, and how a fault is told on a terminal.

Rule: what a person did wrong is one line on stderr and exit code 2; what went wrong is one line and exit code 1; a
trace is shown for our own defects alone.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

from cyclopts import App, CycloptsError, Parameter
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

import hark
from hark.cli.bench import bench_command
from hark.cli.doctor import doctor_command
from hark.cli.journal import journal_app
from hark.cli.keys import keys_app
from hark.cli.models import models_command
from hark.cli.pull import pull_command
from hark.cli.ray import ray_app
from hark.cli.serve import serve_command
from hark.cli.transcribe import transcribe_command
from hark.config import Settings
from hark.errors import HarkError, OperatorError


def _one_line(error: CycloptsError) -> Text:
    """What the command line has wrong, in the form of every other complaint."""
    return _complaint(_told(error))


def _told(error: CycloptsError) -> str:
    cause = error.__cause__
    return _option(cause, "--", "-") if isinstance(cause, ValidationError) else str(error)


app = App(
    name="hark",
    help="Realtime speech transcription on your own machine, over OpenAI's Realtime API.",
    version=hark.__version__,
    error_formatter=_one_line,
)

Options = Annotated[Settings | None, Parameter(name="*")]


@app.command
def serve(*, settings: Options = None, self_check: bool = False) -> None:
    """Serve the realtime API until Ctrl-C.

    Every option can also be set in the environment or in a file named .env, as HARK_PORT for --port. SIGHUP lets a
    running server read keys, limits and certificates anew.

    Parameters
    ----------
    self_check:
        Transcribe a sample through the server's own WebSocket first, and say how to connect.
    """
    serve_command(settings or Settings(), self_check=self_check, read=_read_anew)


def _read_anew() -> Settings:
    """The settings of the command that runs, with files as they are now. Raises OperatorError."""
    try:
        _, bound, _ = app.parse_args(sys.argv[1:], print_error=False, exit_on_error=False)
        return bound.arguments.get("settings") or Settings()
    except CycloptsError as error:
        raise OperatorError(_told(error)) from error
    except ValidationError as error:
        raise OperatorError(_option(error, "HARK_", "_")) from error


app.command(transcribe_command, name="transcribe")
app.command(pull_command, name="pull")
app.command(models_command, name="models")
app.command(keys_app)
app.command(journal_app)
app.command(ray_app)
app.command(doctor_command, name="doctor")
app.command(bench_command, name="bench")


def main() -> None:
    """The console script."""
    try:
        app(sys.argv[1:])
    except ValidationError as error:
        _give_up(_option(error, "HARK_", "_"), 2)
    except HarkError as error:
        _give_up(error.message, 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _option(error: ValidationError, prefix: str, joint: str) -> str:
    """The first option that is wrong, spelled as it was given: --max-session-minutes, or HARK_MAX_SESSION_MINUTES."""
    first = error.errors()[0]
    name = joint.join(str(part) for part in first["loc"]).replace("_", joint)
    said = first["msg"][:1].lower() + first["msg"][1:]
    return f"{prefix}{name if joint == '-' else name.upper()}: {said}; got {first['input']!r}."


def _complaint(message: str) -> Text:
    return Text.assemble(("hark: ", "bold red"), message)


def _give_up(message: str, code: int) -> NoReturn:
    Console(stderr=True, highlight=False, soft_wrap=True).print(_complaint(message))
    sys.exit(code)
