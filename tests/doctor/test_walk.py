"""`hark doctor` names what is the matter: with a server that OpenAI's was like, in each way in which it refused people.

Rule: the server is the pretender, whose refusals are OpenAI's words; what breaks a walk is its finding, and what a
client may get wrong there stands in the notes.
"""

import asyncio
import errno
import os
import socket
import ssl

import numpy as np
import pytest

from hark.doctor import ground
from hark.doctor.patient import Patient
from hark.doctor.target import target
from pretending import minted


def names(report, outcome="note"):
    return {step.finding for step in report.steps if step.outcome == outcome}


# What the client has and does -> the finding that ends the walk, and on which floor.
BROKEN = {
    "a wrong key": ({}, {"key": "sk-wrong-0123456789"}, "key", "wrong-key"),
    "no key": ({}, {"key": None}, "key", "no-credential"),
    "a key where only secrets are taken": ({"sessions_take": "secrets"}, {}, "handshake", "key-instead-of-secret"),
    "an expired secret": ({"secrets": "expired"}, {"key": "secret"}, "handshake", "secret-expired"),
    "a secret where none is taken": ({"sessions_take": "keys"}, {"key": "secret"}, "handshake", "secret-refused"),
    "a GA secret in beta": (
        {"beta": "on"}, {"key": "secret", "dialect": "beta"}, "handshake", "secret-of-other-kind",
    ),
    "a beta secret in GA": ({"beta": "on"}, {"key": "beta secret"}, "handshake", "secret-of-other-kind"),
    "the beta dialect": ({}, {"dialect": "beta"}, "secrets", "beta-switched-off"),
    "the path of minting": (
        {}, {"url": "/v1/realtime/transcription_sessions"}, "handshake", "wrong-websocket-path",
    ),
    "a transcription model in the URL": (
        {}, {"url": "/v1/realtime?model=gpt-4o-transcribe"}, "handshake", "transcription-model-as-session-model",
    ),
    "intent and model, then": (
        {"beta": "on", "intent_with_model": "refused"},
        {"url": "/v1/realtime?intent=transcription&model=gpt-4o-transcribe"}, "handshake", "intent-with-model",
    ),
    "intent and model, now": (
        {}, {"url": "/v1/realtime?intent=transcription&model=gpt-4o-transcribe"}, "session", "intent-with-model",
    ),
    "nothing in the URL": ({}, {"url": "ws /v1/realtime"}, "handshake", "missing-model"),
    "an unknown model": ({}, {"model": "gpt-5-transcribe"}, "model", "unknown-model"),
    "no access": ({"access": "refused"}, {}, "secrets", "no-access"),
    "no credit": ({"quota": "insufficient_quota"}, {}, "key", "quota"),
    "no credit left": ({"quota": "credit_balance_exhausted"}, {}, "key", "quota"),
    "a limit": ({"quota": "rate_limit_exceeded"}, {}, "key", "rate-limited"),
    "no secret in the answer": ({"minted": "nothing"}, {}, "secrets", "no-secret-in-answer"),
    "silence": ({"greeting": False}, {}, "handshake", "silent-server"),
    "settings unanswered": ({"updates": "ignored"}, {}, "session", "update-unanswered"),
    "deltas and no end": ({"transcripts": "deltas_only"}, {}, "speech", "no-transcript"),
    "no transcript": ({"transcripts": "none"}, {}, "speech", "no-transcript"),
    "a failed transcript": ({"transcripts": "failed"}, {}, "speech", "transcript-failed"),
    "the session's end": ({"session_expires": True}, {}, "speech", "session-expired"),
    "WebRTC refused to secrets": ({"offers": "refused_401"}, {}, "WebRTC", "secret-refused"),
    "WebRTC refused without a word": ({"offers": "refused_empty"}, {}, "WebRTC", "empty-refusal"),
    "a login page": ({"proxy": "page"}, {}, "key", "not-this-api"),
    "another site": ({"proxy": "not_found"}, {}, "HTTP", "not-this-api"),
    "a proxy that lost its server": ({"proxy": "bad_gateway"}, {}, "HTTP", "proxy-fault"),
    "a proxy that waited": ({"proxy": "gateway_timeout"}, {}, "HTTP", "proxy-fault"),
    "a proxy that drops the upgrade, 400": ({"proxy": "upgrade_400"}, {}, "handshake", "upgrade-dropped"),
    "a proxy that drops the upgrade, 426": ({"proxy": "upgrade_426"}, {}, "handshake", "upgrade-dropped"),
    "a proxy that drops the upgrade, 200": ({"proxy": "upgrade_200"}, {}, "handshake", "upgrade-dropped"),
    "a redirection to https": ({"proxy": "to_https"}, {}, "HTTP", "redirected"),
    "a redirection elsewhere": ({"proxy": "elsewhere"}, {}, "HTTP", "redirected"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_breaks_a_walk_is_named(pretend, examine, impatient, case):
    switches, client, floor, finding = BROKEN[case]
    server = pretend(**switches)
    client = {"key": server.key, "url": "", **client}
    key = {"secret": lambda: minted(server), "beta secret": lambda: minted(server, "beta")}.get(
        client["key"], lambda: client["key"]
    )()
    url = client["url"].removeprefix("ws ")
    base = server.url.replace("http", "ws", 1) if client["url"] else server.url
    options = {name: client[name] for name in ("dialect", "model") if name in client}
    report = examine(base + url, key, **options)
    assert (report.healthy, report.finding) == (False, finding)
    assert {step.floor for step in report.steps if step.outcome == "broken"} == {floor}
    assert report.steps[-1].floor == floor
    assert all(step.means and step.mend for step in report.steps if step.outcome == "broken")
    assert server.key not in repr(report)
    assert key is None or key not in repr(report)


# What OpenAI's service refuses while nothing is wrong with it: for clients that do it, each is a note.
HABITS = {
    "wrong-websocket-path", "transcription-model-as-session-model", "intent-with-model", "missing-model",
    "credential-place-refused", "beta-update-in-ga-session",
}  # fmt: skip


def test_openai_as_it_is(today, examine):
    report = examine(today.url, today.key)
    assert report.healthy
    assert names(report) == HABITS | {"beta-switched-off", "secret-born-expired", "offer-to-wrong-url"}
    assert {step.floor for step in report.steps if step.outcome == "ok"} >= {"key", "session", "speech", "WebRTC"}


def test_openai_as_it_was(before, examine):
    report = examine(before.url, before.key)
    assert report.healthy
    expected = {"session-update-in-beta-session", "secret-of-other-kind", "empty-refusal"}
    assert names(report) == HABITS | expected | {"secret-born-expired", "offer-to-wrong-url"}


def test_a_beta_client_of_the_time(before, examine):
    report = examine(before.url, before.key, dialect="beta")
    assert report.healthy
    sent = [step.did for step in report.steps if step.floor == "session"]
    assert all("transcription_session.update" in did for did in sent)


@pytest.mark.parametrize(("announced", "ago"), [("zero", "expires_at is 0"), ("past", "s ago")])
def test_a_secret_that_is_said_to_have_expired_already(pretend, examine, announced, ago):
    report = examine(pretend(announced_expiry=announced).url, pretend(announced_expiry=announced).key)
    born = [step for step in report.steps if step.finding == "secret-born-expired"]
    assert ago in born[0].got
    assert report.healthy, "the secret works all the same"


@pytest.mark.parametrize("ahead", [3_600, -3_600])
def test_clocks_that_differ(pretend, examine, ahead):
    server = pretend(clock_skew_s=ahead)
    report = examine(server.url, server.key)
    (step,) = [step for step in report.steps if step.finding == "clock-skew" and step.floor == "HTTP"]
    assert ("behind" if ahead > 0 else "ahead of") in step.got
    assert report.healthy


@pytest.mark.parametrize("models", ["none", "no_transcription"])
def test_a_list_without_the_model(pretend, examine, impatient, models):
    server = pretend(models=models)
    report = examine(server.url, server.key)
    steps = {step.floor: step for step in report.steps}
    assert steps["model"].finding == (None if models == "none" else "model-not-listed")
    assert report.finding == "transcription-off"
    named = examine(server.url, server.key, model="gpt-4o-transcribe")
    assert (named.healthy, named.finding) == ((True, None) if models == "none" else (False, "unknown-model"))


def test_a_secret_has_no_list_of_models_and_all_else_works(today, examine):
    report = examine(today.url, minted(today))
    steps = {step.floor: step for step in report.steps}
    assert (steps["key"].outcome, steps["key"].finding) == ("note", "secret-instead-of-key")
    assert steps["secrets"].outcome == "skipped"
    assert steps["speech"].outcome == "ok"


@pytest.mark.parametrize(
    ("tls", "trusted", "finding"),
    [("good", False, "certificate-not-trusted"), ("wrong_host", True, "certificate-other-name"),
     ("expired", True, "certificate-expired")],
)  # fmt: skip
def test_certificates(pretend, examine, tls, trusted, finding):
    server = pretend(tls=tls)
    context = ssl.create_default_context(cafile=server.certificate if trusted else None)
    report = examine(server.url, server.key, tls=context)
    assert (report.steps[-1].floor, report.finding) == ("TLS", finding)


def test_a_good_certificate_and_every_floor_behind_it(pretend, examine):
    server = pretend(tls="good")
    report = examine(server.url, server.key, tls=ssl.create_default_context(cafile=server.certificate))
    assert report.healthy
    assert report.steps[2].outcome == "ok"
    assert report.steps[2].got.startswith("TLSv1.")


def test_the_wrong_scheme_either_way(pretend, today, examine):
    plain = examine(today.url.replace("http", "https"), today.key)
    assert (plain.finding, plain.steps[-1].floor) == ("tls-not-spoken", "TLS")
    secure = examine(pretend(tls="good").url.replace("https", "http"), "sk-any-0123456789")
    assert (secure.finding, secure.steps[-1].floor) == ("tls-missing", "HTTP")


def test_the_mend_of_a_wrong_url_is_one_that_works(today, examine):
    report = examine(today.url.replace("http", "ws") + "/v1/realtime/transcription_sessions", today.key)
    assert "/v1/realtime?intent=transcription with Authorization" in report.steps[-1].mend


def test_hark_takes_everything(serve, examine):
    server = serve(api_key="sk-doctor-0123456789")
    report = examine(server.url, "sk-doctor-0123456789")
    assert report.healthy
    assert names(report) == set()
    assert {step.floor for step in report.steps if step.outcome == "ok"} >= {"key", "session", "habits", "WebRTC"}


def test_a_key_in_the_url(serve, today, examine):
    server = serve(api_key="swordfish-0123456789")
    url = f"{server.url.replace('http', 'ws')}/v1/realtime?intent=transcription&api-key=swordfish-0123456789"
    report = examine(url)
    assert report.healthy
    assert "swordfish" not in repr(report.steps)
    report = examine(f"{today.url.replace('http', 'ws')}/v1/realtime?intent=transcription&api-key={today.key}")
    assert (report.finding, report.steps[-1].floor) == ("no-credential", "handshake")
    assert "This works here: connect to ws://" in report.steps[-1].mend


def test_hark_without_a_key(server, examine):
    report = examine(server.url)
    assert report.healthy
    assert names(report) == set()


def test_nobody_at_that_port(examine):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        report = examine(f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert (report.finding, report.steps[-1].floor) == ("nobody-listens", "TCP")
    assert "hark serve --port" in report.steps[-1].mend


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        (OSError(errno.ENETUNREACH, "Network is unreachable"), None),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"), "one-address-only"),
    ],
)
def test_an_address_that_does_not_answer(monkeypatch, server, fault, finding):
    dial = asyncio.open_connection

    async def reach(address, port):
        if address == "::1":
            raise fault
        return await dial(address, port)

    async def steps():
        patient = Patient(target=target(server.url), addresses=["::1", "127.0.0.1"])
        return [step async for step in ground.tcp(patient)]

    monkeypatch.setattr(asyncio, "open_connection", reach)
    (step,) = asyncio.run(steps())
    assert step.finding == finding
    assert step.outcome in ("ok", "note")
    assert os.strerror(fault.errno) in step.got


def test_no_such_name(examine):
    report = examine("http://no-such-host.invalid")
    assert (report.finding, report.steps[-1].floor) == ("no-such-host", "name")


def test_speech_that_the_server_does_not_hear(server, examine):
    report = examine(server.url, audio=np.zeros(16_000, np.float32))
    assert (report.finding, report.steps[-1].floor) == ("no-speech-found", "speech")
