"""/v1 over HTTP: models, minting, offers (contract A.3 and A.5).

Rule: a body is refused for its first fault. Offers on the beta URLs get what they got there: 401 on
/transcription_sessions, 400 with empty strings on /realtime with a transcription model (A.5).
"""

import json
import time
from email.message import Message
from email.utils import formatdate

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pretender import desk, shapes, texts
from pretender.calls import Calls
from pretender.texts import Refusal

CREATED = {"whisper-1": 1677532384, "gpt-4o-transcribe": 1742068463, "gpt-4o-mini-transcribe": 1742068596}
MINTED_BY_BETA = {"transcription_sessions": "transcription", "sessions": "realtime"}
LONGEST_S = 7200


class Rest:
    def __init__(self, switches, house, realtime):
        self._switches, self._desk, self._realtime = switches, house, realtime
        self.calls = Calls()

    def routes(self):
        return [
            Route("/v1/models", self._told(self._models)),
            Route("/v1/models/{name}", self._told(self._model)),
            Route("/v1/realtime/client_secrets", self._told(self._client_secret), methods=["POST"]),
            *(Route(f"/v1/realtime/{name}", self._told(self._beta), methods=["POST"]) for name in MINTED_BY_BETA),
            Route("/v1/realtime", self._told(self._beta_offer), methods=["POST"]),
            Route("/v1/realtime/calls", self._told(self._offer), methods=["POST"]),
            Route("/v1/realtime/calls/{call}/hangup", self._told(self._hang_up), methods=["POST"]),
            Route("/{path:path}", self._told(self._nothing), methods=["GET", "POST", "PUT", "DELETE", "PATCH"]),
        ]

    def _told(self, answer):
        """The endpoint, with refusals as answers and the headers of OpenAI's."""

        async def endpoint(request: Request):
            try:
                response = await answer(request)
            except Refusal as refusal:
                response = JSONResponse(refusal.body, refusal.status)
            response.headers["openai-version"] = "2020-10-01"
            response.headers["openai-processing-ms"] = "1"
            response.headers["x-request-id"] = "req_pretender"
            return response

        return endpoint

    async def _nothing(self, request):
        raise texts.UNKNOWN_URL.said(method=request.method, path=request.url.path)

    # ---- models

    async def _models(self, request):
        self._desk.admit_key(desk.shown(request.headers))
        return JSONResponse({"object": "list", "data": [_model(name) for name in self._desk.models()]})

    async def _model(self, request):
        self._desk.admit_key(desk.shown(request.headers))
        if (name := request.path_params["name"]) not in self._desk.models():
            raise texts.NO_SUCH_MODEL.said(model=name)
        return JSONResponse(_model(name))

    # ---- minting

    async def _client_secret(self, request):
        self._desk.admit_key(desk.shown(request.headers))
        body = await _object(request)
        for name in body.keys() - {"expires_after", "session"}:
            raise texts.UNKNOWN_PARAMETER.said(path=name, param=name)
        after = body.get("expires_after") or {"anchor": "created_at"}
        if "anchor" not in after:
            raise texts.MISSING_PARAMETER.said(path="expires_after.anchor", param="expires_after.anchor")
        session = body.get("session") or {"type": "realtime"}
        kind = session.get("type")
        if kind not in ("transcription", "realtime"):
            raise texts.MISSING_PARAMETER.said(path="session.type", param="session.type")
        model = self._session_model(session, kind, "ga", "session.")
        lifetime_s = min(after.get("seconds", desk.LIFETIME_S["ga"]), LONGEST_S)
        secret, until = self._desk.mint("ga", kind, model, session, lifetime_s)
        echo = _echo("ga", kind, model, session)
        value = {"value": secret.value} if self._switches.minted == "secret" else {}
        return JSONResponse({**value, "expires_at": until, "session": echo})

    async def _beta(self, request):
        """Beta minting; an offer that came here is told that its secret is no API key, as S3 was."""
        credential, name = desk.shown(request.headers), request.url.path.rpartition("/")[2]
        if _is_offer(request):
            raise desk.incorrect(credential) if credential else texts.NO_KEY
        self._desk.admit_key(credential)
        if self._switches.beta == "off":
            raise texts.BETA_OFF  # that HTTP says the same is assumed
        kind, body = MINTED_BY_BETA[name], await _object(request)
        if "client_secret" in body:  # documented, and refused
            raise texts.UNKNOWN_PARAMETER.said(path="client_secret.expires_at", param="client_secret.expires_at")
        model = self._session_model(body, kind, "beta", "")
        secret, until = self._desk.mint("beta", kind, model, body)
        told = {"value": secret.value, "expires_at": until} if self._switches.minted == "secret" else None
        echo = _echo("beta", kind, model, body) | {"modalities": ["audio", "text"], "client_secret": told}
        return JSONResponse(echo)

    def _session_model(self, session, kind, dialect, prefix):
        """The model of a session to mint, checked; None where a transcription names none."""
        shapes.check(session, dialect, kind, prefix)
        if kind == "realtime":
            model = session.get("model", shapes.REALTIME_MODELS[0])
            if shapes.is_transcription(model):
                raise texts.NOT_A_REALTIME_MODEL.said(model=model)
        else:
            _, transcription, _ = shapes.listening(shapes.merged(shapes.created(dialect, kind, ""), session))
            model = transcription and transcription["model"]
        self._desk.may_use(model)
        return model

    # ---- offers

    async def _beta_offer(self, request):
        if not _is_offer(request):
            return await self._nothing(request)
        secret = self._admit(request)
        if self._switches.beta == "off":
            raise texts.BETA_OFF  # that HTTP says the same is assumed
        model = request.query_params.get("model")
        if secret is not None and shapes.is_transcription(model):
            raise texts.EMPTY
        if secret is not None and secret.dialect == "ga":
            raise texts.GA_SECRET_ON_BETA
        # With the API key in place of the secret a transcription model went well (S4).
        query = {"intent": "transcription"} if shapes.is_transcription(model) else request.query_params
        return await self._answer("beta", query, secret, (await request.body()).decode())

    async def _offer(self, request):
        secret = self._admit(request)
        if secret is not None and secret.dialect == "beta":
            raise texts.PARTLY_BETA_SECRET_ON_GA
        if _is_offer(request):
            return await self._answer("ga", request.query_params, secret, (await request.body()).decode())
        fields = _form(request.headers.get("content-type", ""), await request.body())
        session = _parsed(fields.get("session") or "{}")
        kind = session.get("type")
        if kind is not None:
            secret = self._carried(kind, session)
        return await self._answer("ga", request.query_params, secret, fields.get("sdp", ""))

    def _carried(self, kind, session):
        """A session that came with its offer is as good as a minted one."""
        model = self._session_model(session, kind, "ga", "session.")
        return desk.Secret("", "ga", kind, model, session, int(time.time()) + LONGEST_S)

    def _admit(self, request):
        credential = desk.shown(request.headers)
        secret = self._desk.admit(credential)
        if secret is not None and self._switches.offers == "refused_401":
            raise desk.incorrect(credential)
        if secret is not None and self._switches.offers == "refused_empty":
            raise texts.EMPTY
        return secret

    async def _answer(self, dialect, query, secret, sdp):
        session = self._realtime.asked_for(dialect, query, secret)
        call, answer = await self.calls.answer(sdp, session)
        location = {"Location": f"/v1/realtime/calls/{call}"}
        return Response(answer, 201, location, media_type="application/sdp")

    async def _hang_up(self, request):
        self._desk.admit(desk.shown(request.headers))
        if not await self.calls.hang_up(request.path_params["call"]):
            raise texts.UNKNOWN_URL.said(method="POST", path=request.url.path)
        return Response()


def _model(name):
    return {"id": name, "object": "model", "created": CREATED.get(name, 1756271701), "owned_by": "system"}


def _echo(dialect, kind, model, session):
    """The session as minting shows it: with an expires_at of 0."""
    given = {name: value for name, value in session.items() if name != "type"}
    return shapes.merged(shapes.created(dialect, kind, "sess_minted", model), given) | {"expires_at": 0}


def _is_offer(request):
    return request.headers.get("content-type", "").startswith("application/sdp")


async def _object(request):
    return _parsed(await request.body() or b"{}")


def _parsed(text):
    try:
        body = json.loads(text)
    except ValueError:
        raise texts.GUESSED_INVALID_JSON from None
    if not isinstance(body, dict):
        raise texts.GUESSED_INVALID_JSON
    return body


def _form(content_type, body):
    """The fields of a form whose parts may have types and no filenames."""
    head = Message()
    head["content-type"] = content_type
    boundary = b"--" + str(head.get_param("boundary", "")).encode()
    fields = {}
    for part in body.split(boundary)[1:-1]:
        lines, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        for line in lines.decode().split("\r\n"):
            if line.lower().startswith("content-disposition:"):
                disposition = Message()
                disposition["content-disposition"] = line.partition(":")[2].strip()
                name = disposition.get_param("name", header="content-disposition")
                fields[name] = value.removesuffix(b"\r\n").decode()
    return fields


def date(skew_s):
    return formatdate(time.time() + skew_s, usegmt=True)
