"""Calls over HTTP: every form of body and every URL of real clients, and what is refused (contract A.4 to A.6)."""

import asyncio
import json
import re

import httpx
import pytest

from calling import SDP, Caller
from hark.auth.keys import create_key
from serving import BETA

SESSION = {"type": "transcription", "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}}


def typed(sdp, session=SESSION):
    return {
        "files": {
            "sdp": (None, sdp.encode(), "application/sdp"),
            "session": (None, json.dumps(session).encode(), "application/json"),
        }
    }


BODIES = {
    "raw": None,
    "trimmed": lambda sdp: {"content": sdp.strip(), "headers": SDP},
    "bare line ends": lambda sdp: {"content": sdp.replace("\r\n", "\n"), "headers": SDP},
    "without a type": lambda sdp: {"content": sdp},
    "typed parts": typed,
    "plain parts": lambda sdp: {"files": {"sdp": (None, sdp), "session": (None, json.dumps(SESSION))}},
    "files": lambda sdp: {
        "files": {"sdp": ("offer.sdp", sdp.encode()), "session": ("s", json.dumps(SESSION).encode())}
    },
    "wrapped": lambda sdp: typed(sdp, {"session": SESSION}),
    "sdp alone": lambda sdp: {"files": {"sdp": (None, sdp)}},
    "JSON": lambda sdp: {"json": {"type": "offer", "sdp": sdp, "session": SESSION}},
}


@pytest.mark.parametrize("form", BODIES)
def test_every_form_of_body(server, form):
    async def scenario():
        async with Caller(server.url) as caller:
            answer = await caller.call(body=BODIES[form])
            assert answer.headers["location"].startswith("/v1/realtime/calls/rtc_")
            created = await caller.receive()
            assert created["type"] == "session.created"
            assert created["session"]["type"] == "transcription"
            named = created["session"]["audio"]["input"]["transcription"]
            beside = form not in ("raw", "trimmed", "bare line ends", "without a type", "sdp alone")
            assert (named or {}).get("model") == ("gpt-4o-transcribe" if beside else None)

    asyncio.run(scenario())


URLS = {
    "/v1/realtime?model=gpt-4o-realtime-preview-2024-12-17": ("session.created", "realtime.session"),
    "/v1/realtime?model=gpt-4o-transcribe": ("transcription_session.created", "realtime.transcription_session"),
    "/v1/realtime?intent=transcription": ("transcription_session.created", "realtime.transcription_session"),
    "/v1/realtime/transcription_sessions?model=gpt-4o-transcribe": (
        "transcription_session.created", "realtime.transcription_session",
    ),
    "/v1/realtime/sessions?model=gpt-4o-realtime-preview": ("session.created", "realtime.session"),
    "/v1/realtimertc?model=gpt-4o-realtime-preview": ("session.created", "realtime.session"),
    "/openai/v1/realtime/calls?model=gpt-realtime": ("session.created", "realtime.session"),
    "/realtime/calls": ("session.created", "realtime.transcription_session"),
}  # fmt: skip


@pytest.mark.parametrize("url", URLS)
def test_every_url(server, url):
    async def scenario():
        async with Caller(server.url, label="anything") as caller:
            await caller.call(url)
            created = await caller.receive()
            assert (created["type"], created["session"]["object"]) == URLS[url]
            assert ("input_audio_format" in created["session"]) == ("/calls" not in url)

    asyncio.run(scenario())


@pytest.mark.parametrize(("path", "body", "kind"), [
    ("client_secrets", {"session": SESSION}, "session.created"),
    ("transcription_sessions", {}, "transcription_session.created"),
    ("sessions", {"model": "gpt-4o-realtime-preview"}, "session.created"),
])  # fmt: skip
def test_a_client_secret_opens_a_call_and_only_its_key_may_end_it(serve, path, body, kind):
    server = serve(api_key="sk-calls")
    key = {"authorization": "Bearer sk-calls"}
    minted = httpx.post(f"{server.url}/v1/realtime/{path}", json=body, headers=key).json()
    secret = {"authorization": f"Bearer {minted.get('value') or minted['client_secret']['value']}"}

    async def scenario():
        async with Caller(server.url) as caller:
            await caller.call(headers=secret)
            assert (await caller.receive())["type"] == kind
            hang_up = f"{server.url}{caller.location}/hangup"
            assert httpx.post(hang_up).status_code == 401
            ended = httpx.post(hang_up, headers=key)
            assert (ended.status_code, ended.content) == (200, b"")
            again = httpx.post(hang_up, headers=key)
            assert (again.status_code, again.json()["error"]["code"]) == (404, "call_not_found")
            assert await caller.receive() is None

    asyncio.run(scenario())


def test_the_beta_header_makes_it_beta(server):
    async def scenario():
        async with Caller(server.url) as caller:
            await caller.call(headers=BETA)
            assert (await caller.receive())["type"] == "transcription_session.created"

    asyncio.run(scenario())


OFFER = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
# A data channel that is bundled with what is not there: aiortc can neither take such an offer nor let go of it.
ALONE = (
    "a=group:BUNDLE 9 1\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n"
    "a=sctp-port:5000\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:actpass\r\n"
    f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}\r\n"
)


@pytest.mark.parametrize(("body", "said"), [
    ("", "begins with v=0"),
    ("hello", "begins with v=0"),
    (OFFER, "neither audio nor a data channel"),
    (OFFER + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", "neither audio nor a data channel"),
    (OFFER + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n", "could not be understood"),
    (OFFER + ALONE, "could not be understood"),
    ("{}", "no readable 'sdp'"),
])  # fmt: skip
def test_what_is_no_offer(server, body, said):
    answer = httpx.post(f"{server.url}/v1/realtime/calls", content=body, headers=SDP)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (400, "invalid_offer", "invalid_request_error")
    assert error["message"].startswith("Invalid SDP offer. Please try again with a WHIP-compliant offer.")
    assert said in error["message"]


def test_nothing_is_left_of_a_call_whose_offer_was_refused(serve):
    server = serve(resume_seconds=603)
    for _ in range(3):
        assert httpx.post(f"{server.url}/v1/realtime/calls", content=OFFER + ALONE, headers=SDP).status_code == 400
    told = httpx.get(f"{server.url}/metrics").text
    (still_open,) = re.findall(r'hark_sessions\{transport="webrtc",.*\} (.*)', told)
    assert float(still_open) == 0


def test_an_offer_beside_a_session_that_cannot_be(server):
    async def refused(session):
        async with Caller(server.url) as caller, httpx.AsyncClient() as client:
            sdp = await caller.offer()
            answer = await client.post(f"{server.url}/v1/realtime/calls", **typed(sdp, session))
            assert answer.status_code == 400
            return answer.json()["error"]

    error = asyncio.run(refused({"type": "transcription", "bogus": 1}))
    assert (error["code"], error["param"]) == ("unknown_parameter", "session.bogus")
    error = asyncio.run(refused({"type": "transcription", "audio": {"input": {"transcription": {"model": "gpt-5"}}}}))
    assert (error["code"], error["param"]) == ("invalid_model", "session.audio.input.transcription.model")


def test_larger_than_any_offer(server):
    answer = httpx.post(f"{server.url}/v1/realtime/calls", content=b"v=0" + bytes(300_000), headers=SDP)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


def test_calls_that_are_not_there(server):
    for verb in ("hangup", "accept", "refer", "reject"):
        answer = httpx.post(f"{server.url}/v1/realtime/calls/rtc_none/{verb}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "call_not_found")


def test_what_only_telephones_do(server):
    async def scenario():
        async with Caller(server.url) as caller:
            await caller.call()
            for verb in ("accept", "refer", "reject"):
                answer = httpx.post(f"{server.url}{caller.location}/{verb}")
                assert (answer.status_code, answer.json()["error"]["code"]) == (400, "not_a_telephone_call")

    asyncio.run(scenario())


def test_a_page_may_read_where_its_call_is(serve):
    server, origin = serve(api_key="sk-calls"), {"origin": "https://app.example"}
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    preflight = httpx.options(f"{server.url}/v1/realtime/calls", headers={**origin, **asked})
    assert preflight.status_code == 200
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    refused = httpx.post(f"{server.url}/v1/realtime/calls", content="v=0", headers={**origin, **SDP})
    assert refused.status_code == 401
    assert "Location" in refused.headers["access-control-expose-headers"]
    assert refused.headers["access-control-allow-origin"] in ("*", origin["origin"])


def test_as_many_calls_as_sessions_are_allowed(serve, tmp_path):
    key = create_key(tmp_path, "one", 0.0, max_sessions=1)
    server = serve(data_dir=tmp_path)

    async def scenario():
        headers = {"authorization": f"Bearer {key}"}
        async with Caller(server.url) as caller, Caller(server.url) as other:
            await caller.call(headers=headers)
            sdp = await other.offer()
            answer = httpx.post(f"{server.url}/v1/realtime/calls", content=sdp, headers={**headers, **SDP})
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")

    asyncio.run(scenario())


def test_a_call_may_follow_the_one_that_was_hung_up_at_once(serve, tmp_path):
    key = create_key(tmp_path, "one", 0.0, max_sessions=1)
    server = serve(data_dir=tmp_path)
    headers = {"authorization": f"Bearer {key}"}

    async def scenario():
        for _ in range(3):
            async with Caller(server.url) as caller:
                await caller.call(headers=headers)
                async with httpx.AsyncClient() as client:
                    answer = await client.post(f"{server.url}{caller.location}/hangup", headers=headers)
                    assert answer.status_code == 200

    asyncio.run(scenario())
