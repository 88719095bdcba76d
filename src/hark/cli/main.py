"""`hark`: the commands, and how a fault is told on a terminal.

Rule: what a person did wrong is one line on stderr and exit code 2; what went wrong is one line and exit code 1; a
trace is shown for our own defects alone.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

from cyclopts import App, Parameter
from pydantic import ValidationError
from rich.console import Console

import hark
from hark.cli.pull import pull_command
from hark.cli.serve import serve_command
from hark.cli.transcribe import transcribe_command
from hark.config import Settings
from hark.errors import HarkError

app = App(name="hark", help="Realtime speech transcription on your own machine, over OpenAI's Realtime API.")
app.version = hark.__version__

Options = Annotated[Settings | None, Parameter(name="*")]


@app.command
def serve(*, settings: Options = None, self_check: bool = False) -> None:
    """Serve the realtime API until Ctrl-C.

    Every option can also be set in the environment or in a file named .env, as HARK_PORT for --port.

    Parameters
    ----------
    self_check:
        Transcribe a sample through the server's own WebSocket first, and say how to connect.
    """
    serve_command(settings or Settings(), self_check=self_check)


app.command(transcribe_command, name="transcribe")
app.command(pull_command, name="pull")


def main() -> None:
    """The console script."""
    try:
        app()
    except ValidationError as error:
        first = error.errors()[0]
        option = "HARK_" + "_".join(str(part) for part in first["loc"]).upper()
        _give_up(f"{option}: {first['msg'].lower()}, got {first['input']!r}.", 2)
    except HarkError as error:
        _give_up(error.message, 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _give_up(message: str, code: int) -> NoReturn:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]hark:[/] {message}")
    sys.exit(code)
