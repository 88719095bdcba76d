"""docs/openai.md against what it speaks of: the words of the pretender stand in it, and where it says that a call
works at Hark, the call that OpenAI refuses is made to both.

Rule: whatever the pretender can say has its row, in italics if the words are a guess.
"""

import asyncio
import re
from types import SimpleNamespace

import pytest
from websockets.exceptions import InvalidStatus

from calling import Caller
from documents import covers, page, table
from pretender import KEY, shapes
from pretender.texts import TEXTS
from pretending import BETA, BETA_SESSION, GA_SESSION, INTENT, SDP, asked, minted, wire
from serving import COMPLETED, speech

PAGE = "docs/openai.md"
# OpenAI's words, whether they stand in italics, what Hark gives.
ROWS = [
    (words.group(2).strip().replace(" … ", "…"), row[0].startswith("*"), row[3])
    for row in table(page(PAGE), "OpenAI says")
    if (words := re.search(r"(``?)(.+?)\1(?!`)", row[0]))
]
SAID = {name: re.sub(r"\{.*?\}", "…", refusal.message) for name, refusal in TEXTS.items() if refusal.message}
REALTIME = "/v1/realtime?model=gpt-realtime"


def rows(text):
    return [row for row in ROWS if covers(row[0], text)]


def test_every_text_has_its_row():
    assert len(SAID) > 30
    assert {name: text for name, text in SAID.items() if len(rows(text)) != 1} == {}


@pytest.mark.parametrize("name", SAID)
def test_words_that_are_guessed_stand_in_italics(name):
    assert rows(SAID[name])[0][1] is name.startswith(("GUESSED_", "PARTLY_"))


def test_every_code_of_the_pretender_is_named():
    for refusal in TEXTS.values():
        assert not refusal.code or f"`{refusal.code}`" in page(PAGE), refusal.code


def test_every_code_of_ours_has_its_mend():
    listed = [row[0] for row in table(page("docs/errors.md"), "code", "cause", "mend")]
    assert len(listed) == len(set(listed))
    assert set(listed) == {row[0] for row in table(page("docs/protocol.md"), "code", "when")}


# ---- the same call to both -----------------------------------------------------------------------------------------


def connecting(target, headers=(), **options):
    """The first event of a connection."""

    def call(server, **more):
        with wire(server, target, headers=headers, **options, **more) as socket:
            return socket.receive()

    return call


def updating(target, kind, session, headers=()):
    """The answer to one event."""

    def call(server):
        with wire(server, target, headers=headers) as socket:
            socket.receive()
            return socket.ask(kind, session=session)

    return call


def posting(path, body):
    return lambda server: asked(server, path, body).json()


def offering(path, dialect, change=lambda sdp: sdp):
    """The answer to an offer with a secret of this dialect."""

    async def made():
        async with Caller("") as caller:
            return await caller.offer()

    def call(server):
        sdp, key = change(asyncio.run(made())), minted(server, dialect)
        answer = asked(server, path, key=key, content=sdp, headers=SDP)
        return {} if answer.status_code == 201 else answer.json()

    return call


def ga(**heard):
    return {"type": "transcription", "audio": {"input": heard}}


def with_secret(dialect, headers=()):
    return lambda server: connecting(INTENT, headers)(server, key=minted(server, dialect))


def token_in_query(server):
    return connecting(f"{INTENT}&authorization=Bearer%20{minted(server)}", key=None)(server)


CALLS = {
    "Missing bearer": token_in_query,
    "Incorrect API key": offering("/v1/realtime/transcription_sessions?model=gpt-4o-transcribe", "beta"),
    "GA client secret": with_secret("ga", BETA),
    "beta client secret": with_secret("beta"),
    "You must provide a model": connecting("/v1/realtime"),
    "is a transcription model": connecting("/v1/realtime?model=gpt-4o-transcribe"),
    "in transcription mode": updating(f"{INTENT}&model=gpt-4o-transcribe", "session.update", GA_SESSION),
    "Unknown parameter": posting("/v1/realtime/transcription_sessions", {"vad": {"enabled": True}}),
    "Missing required": updating(INTENT, "session.update", {"audio": {}}),
    "below minimum": updating(INTENT, "session.update", ga(format={"type": "audio/pcm", "rate": 16_000})),
    "Supported values": updating(INTENT, "transcription_session.update", BETA_SESSION),
    "Turn detection is not": updating(
        INTENT,
        "session.update",
        ga(transcription={"model": shapes.LIVE_MODELS[0]}, turn_detection={"type": "server_vad"}),
    ),
    "Passing a transcription": updating(REALTIME, "session.update", GA_SESSION),
    "Passing a realtime": updating(INTENT, "session.update", {"type": "realtime"}),
    "had an error": updating(INTENT, "session.update", {"turn_detection": {"type": "semantic_vad"}}, BETA),
    "unmarshal": offering("/v1/realtime/calls", "ga", str.rstrip),
}


@pytest.fixture
def hark(serve):
    return SimpleNamespace(url=serve(api_key=KEY).url, key=KEY)


@pytest.mark.parametrize("words", CALLS)
def test_what_openai_refuses_works_here(before, hark, words):
    refused = CALLS[words](before)["error"]
    assert words in refused["message"]
    ((_, _, at_hark),) = rows(refused["message"])
    assert at_hark.startswith("works")
    assert "error" not in CALLS[words](hark)


def test_the_path_that_gets_403_there(today, hark):
    call = connecting("/v1/realtime/transcription_sessions")
    with pytest.raises(InvalidStatus, match="HTTP 403"):
        call(today)
    assert call(hark)["type"] == "session.created"


def test_a_voice_that_changes_late(hark):
    with wire(hark, REALTIME) as socket:
        socket.receive()
        socket.append(speech("alpha"))
        socket.until(COMPLETED)
        update = {"type": "realtime", "audio": {"output": {"voice": "echo"}}}
        assert socket.ask("session.update", session=update)["type"] == "session.updated"


def test_the_calls_that_need_another_time(pretend, today, hark):
    old = pretend(intent_with_model="refused")
    for pretender, call, words in (
        (old, connecting(f"{INTENT}&model=gpt-4o-transcribe"), "must not provide a model"),
        (today, connecting(INTENT, BETA), "no longer supported"),
    ):
        assert words in call(pretender)["error"]["message"]
        assert "error" not in call(hark)
    empty = offering("/v1/realtime?model=gpt-4o-transcribe", "beta")
    assert empty(pretend(beta="on"))["error"]["message"] == ""
    assert empty(hark) == {}


# In tests of their own: Azure's in tests/edge/test_azure.py, the others above.
TRIED = [
    "must not provide",
    "no longer supported",
    '"message":""',
    "403",
    "OperationNotSupported",
    "cannot_update_voice",
]


def test_every_row_that_says_works_is_tried():
    tried = [*CALLS, *TRIED]
    assert [words for words, _, hark in ROWS if hark.startswith("works") and not any(w in words for w in tried)] == []
