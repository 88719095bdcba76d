"""`hark serve --self-check`: a sample of real speech through the server's own WebSocket, and how to connect."""

from __future__ import annotations

from contextlib import aclosing

from rich.console import Console

from hark.audio.files import probe, stream_audio
from hark.cli import trust
from hark.cli.live import LiveView, StatusLine
from hark.client import connect, stream
from hark.config import Settings
from hark.core.settings import TurnDetectionPatch
from hark.core.work import SAMPLE_RATE
from hark.errors import HarkError
from hark.models.files.pull import models_folder

SAMPLE = "samples/two_cities.wav"
# A reader wants whole sentences, so a longer silence ends a turn than the API's default of 200 ms.
SENTENCES = TurnDetectionPatch(type="server_vad", silence_duration_ms=500)


async def self_check_at(url: str, settings: Settings, console: Console) -> None:
    """Play the sample in real time to the server at `url`, show its words as they settle, and say how to connect."""
    sample = models_folder(settings.models_dir) / SAMPLE
    key = settings.api_key.get_secret_value() if settings.api_key else None
    console.print(f"\nSelf-check: {sample.name} played in real time through {url}/v1/realtime\n", soft_wrap=True)
    try:
        async with connect(url, api_key=key, turn_detection=SENTENCES, tls=trust.nobody()) as client:
            heard = StatusLine("listening", lambda: client.sent_samples / SAMPLE_RATE, probe(sample))
            with LiveView(heard, console=console) as view:
                async with aclosing(stream(client, stream_audio(sample), pace=1.0)) as events:
                    async for event in events:
                        if turn := client.conversation.about(event):
                            view.show(turn)
    except HarkError as error:
        console.print(f"[bold red]Self-check failed:[/] {error.message}")
        return
    _tell_how_to_connect(url, key, settings, console)


def _tell_how_to_connect(url: str, key: str | None, settings: Settings, console: Console) -> None:
    shown = "none" if key is None else "YOUR KEY"
    socket = f"ws{url.removeprefix('http')}/v1/realtime?intent=transcription"
    own = trust.own_certificate(settings) if settings.tls_self_signed else None
    curl = f"curl --cacert {own}" if own else "curl"
    trusted = f"\n  trust it    [bold]export SSL_CERT_FILE={own} NODE_EXTRA_CA_CERTS={own}[/]" if own else ""
    lines = f"""
[bold green]It works.[/] Leave this running and connect from another terminal:

  the page    [bold]{url}/[/] in a browser: speak, and read along
  base URL    [bold]{url}/v1[/]
  WebSocket   [bold]{socket}[/]
  curl        [bold]{curl} {url}/health[/]{trusted}
  a file      [bold].venv/bin/hark transcribe --live FILE --url {url}[/]

  OpenAI's Python SDK:

  from openai import AsyncOpenAI
  client = AsyncOpenAI(base_url="{url}/v1", api_key="{shown}")
  async with client.realtime.connect(extra_query={{"intent": "transcription"}}) as session: ...
"""
    console.print(lines, soft_wrap=True, highlight=False)
