"""Libraries for Node that speak to OpenAI's API: the Agents SDK, Vercel's AI SDK, LiveKit's agents, and an old client.

Rule: the recipe's program is run as it stands on its page; what it leaves out, defaults above all, is in a script.
"""

import json

import pytest

from nodejs import LIVEKIT, PACKAGES
from recipes import check_words, here, program

AGENTS, VERCEL, PLUGIN = "@openai/agents-realtime", "@ai-sdk/openai", "@livekit/agents-plugin-openai"
KIND = "conversation.item"


def tried(name, over, what, where=PACKAGES, **more):
    return pytest.mark.client(name, over, what, where=where, **more)


@pytest.fixture(scope="module")
def run(node, hark, key, file):
    """The lines that a page's program printed."""

    def run_program(page, title=None, packages=PACKAGES):
        return node.run_text(here(program(page, title, "js"), hark, key), packages, str(file)).splitlines()

    return run_program


@tried(AGENTS, "WebSocket", "`RealtimeSession` in Node, one turn")
def test_agents(run):
    (line,) = run("agents-realtime", "Node")
    check_words(line)


@tried(AGENTS, "WebSocket", "`RealtimeSession` in Node as it comes, semantic_vad, with an ephemeral key")
def test_agents_with_a_secret(node, hark, key, file_24):
    told = node.ask("agents.mjs", hark, key, file_24)
    assert told["statuses"] == ["connecting", "connected", "disconnected"]
    assert [event for event, unknown in told["events"] if unknown] == []
    kinds = {event for event, _ in told["events"]}
    assert {"session.updated", "input_audio_buffer.speech_started", f"{KIND}.retrieved"} <= kinds
    assert {role for role, _ in told["history"]} == {"user"}
    check_words(" ".join(text for _, text in told["history"]))


@tried(AGENTS, "WebSocket", "`RealtimeSession` in Node, server_vad with `idleTimeoutMs`")
def test_agents_through_a_long_silence(node, hark, key, file_24):
    """Its parser has no name for the event of that, and hands it on."""
    detection = {"type": "server_vad", "silenceDurationMs": 600, "idleTimeoutMs": 5_000}
    told = node.ask("agents.mjs", hark, key, file_24, HARK_DETECTION=json.dumps(detection))
    assert [event for event, unknown in told["events"] if unknown] == ["input_audio_buffer.timeout_triggered"]
    assert told["statuses"][-1] == "disconnected"
    check_words(" ".join(text for _, text in told["history"]))


@tried(VERCEL, "WebSocket", "`transcribe` of a file, `experimental_streamTranscribe`")
def test_vercel(run):
    file, live, whole = run("vercel-ai-sdk")
    assert whole == f"The whole transcript: {live}"
    for text in (file.removeprefix("The file: "), live):
        check_words(text)


@tried(VERCEL, "WebSocket over TLS", "`experimental_realtime`: a token, its socket, the mapping of events")
def test_vercel_realtime(node, hark_tls, key, file):
    told = node.ask("ai_realtime.mjs", hark_tls, key, file, NODE_EXTRA_CA_CERTS=str(hark_tls.certificate))
    assert told["address"].startswith("wss://")
    assert told["token"].startswith("ek_")
    assert told["events"][:2] == ["session-created", "session-updated"]
    assert {"speech-started", "speech-stopped", "audio-committed", "conversation-item-added"} <= set(told["events"])
    assert told["code"] == 1000
    check_words(" ".join(told["said"]))


@tried(PLUGIN, "WebSocket", "`STT`: a live model, one turn by `flush`", where=LIVEKIT)
def test_livekit(run):
    *_, line = run("livekit-js", packages=LIVEKIT)
    check_words(line.removeprefix("The whole transcript: "))


@tried(
    PLUGIN,
    "WebSocket, HTTP",
    "`STT`: server_vad; its own voice detector, at a microphone's pace; `recognize`",
    LIVEKIT,
    but="closing a stream with a detector of its own throws, in the plugin",
)
def test_livekit_finds_turns(node, hark, key, file):
    told = node.ask("stt.mjs", hark, key, file, LIVEKIT)
    assert told["thrown"] == ["Invalid state: WritableStream is locked"], "The remark in the table is out of date."
    for heard in (told["server"], told["plugin"]):
        assert heard["started"] == len(heard["finals"]) > 1
        check_words(" ".join(heard["finals"]))
    check_words(told["upload"])


@tried(
    "openai-realtime-api", "WebSocket", "`RealtimeClient`, beta: a realtime session, `createResponse` after the audio"
)
def test_the_client_of_the_first_console(node, hark, key, file_24):
    told = node.ask("realtime_api.mjs", hark, key, file_24)
    assert told["events"][0] == "session.created"
    assert "response.created" in told["events"]
    assert f"{KIND}.created" in told["events"]
    (item,) = (item for item in told["items"] if item["role"] == "user")
    check_words(item["transcript"])
