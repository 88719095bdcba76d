"""What docs/recipes shows for Python's frameworks, run against Hark in each one's environment."""

from functools import partial

import pytest

import recipes
from recipes import check_words, program


def tried(name, over, what, home, **more):
    return pytest.mark.client(name, over, what, where=recipes.environment(home), **more)


livekit = partial(tried, "livekit-plugins-openai", home="livekit")
pipecat = partial(tried, "pipecat-ai", home="pipecat")
speech_recognition = partial(tried, "SpeechRecognition", home="speechrecognition")
agents = partial(tried, "openai-agents", home="agents")


@pytest.fixture
def run(hark, key, tmp_path):
    """The lines that a program prints, for this file."""
    return lambda source, file, home: recipes.run(tmp_path, recipes.here(source, hark, key), file, home)


@agents("WebSocket", "voice: `OpenAISTTModel`, streamed, `semantic_vad`")
def test_the_agents_sdk_hears_turns(run, file_24):
    turns = run(program("openai-agents"), file_24, "agents")
    assert len(turns) > 1
    check_words(" ".join(turns))


@agents("WebSocket", "`RealtimeRunner`")
def test_the_agents_sdk_hears_the_user_of_a_realtime_session(run, file_24):
    check_words(" ".join(run(program("openai-agents", "Realtime sessions"), file_24, "agents")))


def livekit_hears(run, source, file):
    lines = run(source, file, "livekit")
    interim = [line.removeprefix("… ") for line in lines if line.startswith("… ")]
    turns = [line for line in lines if not line.startswith("… ")]
    assert len(turns) > 1
    assert all(any(turn.startswith(text.strip()) for turn in turns) for text in interim)
    check_words(" ".join(turns))


@livekit("WebSocket", "`STT(use_realtime=True)`, streamed")
def test_livekit_hears_turns(run, file):
    livekit_hears(run, program("livekit"), file)


@livekit("WebSocket", '`STT(model="gpt-live-transcribe")` with languages and keywords')
def test_livekit_commits_turns(run, file):
    lines = program("livekit").splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.startswith("    hark = "))
    lines[at] = "    " + program("livekit", "Languages and keywords").strip()
    livekit_hears(run, "\n".join(lines), file)


@livekit("HTTP", "`STT.recognize()`")
def test_livekit_uploads(run, file):
    check_words(" ".join(run(program("livekit", "One request for each turn"), file, "livekit")))


def pipecat_hears(run, file, title):
    source = program("pipecat")
    if title:
        start = source.index("stt = ")
        end = source.index("services = [stt]\n")
        source = source[:start] + program("pipecat", title) + source[end:].removeprefix("services = [stt]\n")
    turns = run(source, file, "pipecat")
    assert len(turns) > 1
    check_words(" ".join(turns))


@pipecat("WebSocket", "`OpenAIRealtimeSTTService` with `server_vad`")
def test_pipecat_hears_turns(run, file):
    pipecat_hears(run, file, None)


@pipecat("WebSocket", "`OpenAIRealtimeSTTService`, its defaults")
def test_pipecat_commits_turns(run, file):
    pipecat_hears(run, file, "With Pipecat's own voice activity detector")


@pipecat("HTTP", "`OpenAISTTService`")
def test_pipecat_uploads_turns(run, file):
    pipecat_hears(run, file, "One request for each turn")


@speech_recognition("HTTP", "`recognize_openai`")
def test_speech_recognition_uploads(run, file):
    check_words(" ".join(run(program("speech-recognition"), file, "speechrecognition")))
