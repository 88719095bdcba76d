"""What `hark serve --self-check` prints: the words of the sample, and lines that can be copied."""

import asyncio
import io
import wave

import numpy as np
import pytest
from rich.console import Console

from hark.cli import selfcheck
from hark.config import Settings
from hark.models.scripted import amplitude


@pytest.mark.parametrize("key", [None, "sk-not-to-be-shown"])
def test_the_words_and_then_how_to_connect(serve, tmp_path, key):
    sound = np.concatenate([np.zeros(4_000), np.full(3_200, amplitude("echo")), np.zeros(12_000)])
    (tmp_path / "samples").mkdir()
    with wave.open(str(tmp_path / selfcheck.SAMPLE), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((sound * 32_767).astype("<i2").tobytes())
    url = serve(api_key=key).url if key else serve().url
    console = Console(file=io.StringIO(), width=60)
    asyncio.run(selfcheck.self_check_at(url, Settings(models_dir=tmp_path, api_key=key), console))
    shown = console.file.getvalue()
    assert "echo" in shown
    assert f"  curl        curl {url}/health\n" in shown, "no line is cut or wrapped, however narrow the terminal"
    shown_key = "YOUR KEY" if key else "none"
    assert f'  client = AsyncOpenAI(base_url="{url}/v1", api_key="{shown_key}")\n' in shown
    assert '  async with client.realtime.connect(extra_query={"intent": "transcription"}) as session: ...\n' in shown
    assert str(key) not in shown or key is None


def test_a_server_that_does_not_answer_is_told(tmp_path):
    (tmp_path / "samples").mkdir()
    with wave.open(str(tmp_path / selfcheck.SAMPLE), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(3_200))
    console = Console(file=io.StringIO(), width=200)
    asyncio.run(selfcheck.self_check_at("http://127.0.0.1:9", Settings(models_dir=tmp_path), console))
    assert "Self-check failed:" in console.file.getvalue()
    assert "It works." not in console.file.getvalue()
