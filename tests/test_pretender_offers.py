"""The pretender's answers to offers by WebRTC, and what stands between a client and OpenAI."""

import asyncio
import email.utils
import ssl
import time

import httpx
import numpy as np
import openai
import pytest
from websockets.exceptions import InvalidStatus

from calling import Caller
from pretender import TRANSCRIPT, Pretender, texts
from pretending import GA_SESSION, SDP, asked, fault, minted, wire
from serving import COMPLETED

# ---- offers --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def offer():
    """An SDP offer as a browser makes it."""

    async def made():
        async with Caller("") as caller:
            return await caller.offer()

    return asyncio.run(made())


def offered(pretender, path, sdp, key=None):
    return asked(pretender, path, key=key, content=sdp, headers=SDP)


def test_a_call(today):
    async def scenario():
        async with Caller(today.url) as caller:
            await caller.call(headers={"Authorization": f"Bearer {minted(today)}", "content-type": "application/sdp"})
            assert (await caller.receive())["type"] == "session.created"
            caller.voice.say(np.sin(np.arange(24_000) / 20) * 0.5)
            assert (await caller.until(COMPLETED))[-1]["transcript"] == TRANSCRIPT
            return caller.location

    call = asyncio.run(scenario())
    assert [asked(today, f"{call}/hangup", {}).status_code for _ in range(2)] == [200, 404]


def test_the_sdk_sends_its_offer_as_a_form(today, offer, sdk):
    answer = sdk(today).realtime.calls.create(sdp=offer, session=GA_SESSION)
    assert answer.response.status_code == 201
    assert "m=audio" in answer.text


def test_offers_that_cannot_be_read(today, offer):
    no_audio = asked(today, "/v1/realtime/calls?intent=transcription", content="v=0\r\n", headers=SDP)
    assert fault(no_audio) == (400, "invalid_offer", texts.INVALID_OFFER.message)
    cut = offered(today, "/v1/realtime/calls?intent=transcription", offer.rstrip())
    assert fault(cut) == (400, "invalid_offer", "Failed to parse offer: failed to unmarshal SDP: EOF")


def test_offers_with_a_secret_that_are_refused(offer):
    with Pretender(offers="refused_401") as pretender:
        status, code, message = fault(offered(pretender, "/v1/realtime/calls", offer, minted(pretender)))
        assert (status, code) == (401, "invalid_api_key")
        assert message.startswith("Incorrect API key provided: ek_")
    with Pretender(offers="refused_empty") as pretender:
        answer = offered(pretender, "/v1/realtime/calls", offer, minted(pretender))
        assert answer.status_code == 400
        assert answer.json() == {"error": {"message": "", "type": "", "param": "", "code": ""}}


def test_offers_at_the_urls_of_the_beta(before, today, offer):
    secret, model = minted(before, "beta"), "?model=gpt-4o-transcribe"
    s3 = offered(before, f"/v1/realtime/transcription_sessions{model}", offer, secret)
    assert fault(s3)[:2] == (401, "invalid_api_key")
    s4 = offered(before, f"/v1/realtime{model}", offer, secret)
    assert (s4.status_code, s4.json()["error"]["message"]) == (400, "")
    assert offered(before, f"/v1/realtime{model}", offer).status_code == 201  # with the API key it went well
    talking = asked(before, "/v1/realtime/sessions", {"model": "gpt-4o-realtime-preview"}).json()["client_secret"]
    answer = offered(before, "/v1/realtime?model=gpt-4o-realtime-preview", offer, talking["value"])
    assert answer.status_code == 201
    for target in ("/v1/realtime/calls", "/v1/realtime?model=gpt-realtime"):
        other = minted(before, "ga" if "model" in target else "beta")
        assert fault(offered(before, target, offer, other))[:2] == (400, "api_version_mismatch")
    assert fault(offered(today, f"/v1/realtime{model}", offer))[:2] == (400, "beta_api_shape_disabled")


# ---- between the client and OpenAI ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proxy", "status"), [("page", 200), ("not_found", 404), ("bad_gateway", 502), ("gateway_timeout", 504)]
)
def test_a_proxy_that_answers_everything_with_a_page(proxy, status):
    with Pretender(proxy=proxy) as pretender:
        answer = asked(pretender, "/v1/models")
        assert (answer.status_code, answer.text[:15]) == (status, "<!doctype html>")
        with pytest.raises(InvalidStatus) as raised, wire(pretender):
            pass
        assert raised.value.response.status_code == status


@pytest.mark.parametrize(("proxy", "status"), [("upgrade_400", 400), ("upgrade_426", 426), ("upgrade_200", 200)])
def test_a_proxy_that_drops_the_upgrade(proxy, status):
    with Pretender(proxy=proxy) as pretender:
        assert asked(pretender, "/v1/models").status_code == 200
        with pytest.raises(InvalidStatus) as raised, wire(pretender):
            pass
        assert raised.value.response.status_code == status


def test_a_proxy_that_sends_elsewhere(sdk):
    with Pretender(proxy="to_https") as pretender:
        answer = asked(pretender, "/v1/models")
        assert (answer.status_code, answer.headers["location"]) == (301, f"https{pretender.url[4:]}/v1/models")
    with Pretender(proxy="elsewhere") as pretender:
        answer = asked(pretender, "/v1/models")
        assert (answer.status_code, answer.headers["location"]) == (302, "/moved/v1/models")
        with pytest.raises(openai.NotFoundError):
            sdk(pretender).models.list()


@pytest.mark.parametrize("skew_s", [0, 3600])
def test_the_clock_of_answers(skew_s):
    with Pretender(clock_skew_s=skew_s) as pretender:
        date = email.utils.parsedate_to_datetime(asked(pretender, "/v1/models").headers["date"])
        with wire(pretender) as socket:
            upgraded = email.utils.parsedate_to_datetime(socket.socket.response.headers["date"])
    for told in (date, upgraded):
        assert abs(told.timestamp() - time.time() - skew_s) < 60


@pytest.mark.parametrize("cors", [True, False])
def test_pages_of_other_origins(cors):
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    with Pretender(cors=cors) as pretender:
        may = httpx.options(f"{pretender.url}/v1/realtime/calls", headers=preflight)
        assert (may.status_code == 200) is cors
        for answer in (may, asked(pretender, "/v1/models"), httpx.get(f"{pretender.url}/v1/models")):
            assert ("access-control-allow-origin" in answer.headers) is cors


@pytest.mark.parametrize(
    ("tls", "said"), [("good", None), ("wrong_host", "mismatch"), ("expired", "certificate has expired")]
)
def test_certificates(tls, said):
    with Pretender(tls=tls) as pretender:
        with pytest.raises(httpx.ConnectError, match="self-signed certificate" if tls != "expired" else "expired|self"):
            httpx.get(f"{pretender.url}/v1/models")
        trusting = ssl.create_default_context(cafile=pretender.certificate)
        if said is None:
            assert asked(pretender, "/v1/models", verify=trusting).status_code == 200
            with wire(pretender, ssl=trusting) as socket:
                assert socket.receive()["type"] == "session.created"
        else:
            with pytest.raises(httpx.ConnectError, match=said):
                asked(pretender, "/v1/models", verify=trusting)
            with pytest.raises(ssl.SSLCertVerificationError, match=said), wire(pretender, ssl=trusting):
                pass


def test_what_was_asked_is_kept():
    with Pretender() as pretender:
        asked(pretender, "/v1/models")
        with wire(pretender):
            pass
        assert pretender.seen == ["GET /v1/models", "WebSocket /v1/realtime"]
