"""/v1/realtime over WebSocket: what each handshake gets (contract B.3).

Rule: every handshake at the right path is answered 101; what is wrong is told by an `error` event and a close with 3000
or 4000. Refuses: any other path, with 403 and an empty body.
"""

import json

from starlette.responses import Response
from starlette.websockets import WebSocketDisconnect

from pretender import desk, shapes, texts
from pretender.session import Closing, Session
from pretender.texts import Refusal

BETA_SUBPROTOCOL = "openai-beta.realtime-v1"


async def wrong_path(websocket):
    await websocket.send_denial_response(Response(status_code=403))


class Realtime:
    def __init__(self, switches, house):
        self._switches, self._desk = switches, house

    async def serve(self, websocket):
        offered = websocket.scope["subprotocols"]
        await websocket.accept(subprotocol="realtime" if "realtime" in offered else None)
        try:
            session = self.open(websocket.headers, websocket.query_params, offered)
            if self._switches.greeting:
                await _tell(websocket, session.greeting())
            while (message := await websocket.receive())["type"] == "websocket.receive":
                text = message.get("text")
                said = session.hear(message["bytes"] if text is None else text)
                await _tell(websocket, said if self._switches.greeting else [])
        except Refusal as refusal:
            await _tell(websocket, [refusal.event("event_1"), Closing(refusal.close, refusal.reason)])
        except WebSocketDisconnect:
            pass

    def open(self, headers, query, subprotocols=()):
        """The session that a handshake asks for. Raises a Refusal."""
        signs = [each.strip() for each in headers.get("openai-beta", "").split(",")]
        beta = "realtime=v1" in signs or BETA_SUBPROTOCOL in subprotocols
        if beta and self._switches.beta == "off":
            raise texts.BETA_OFF
        secret = self._desk.admit(desk.shown(headers, subprotocols))
        dialect = "beta" if beta else "ga"
        if secret is not None and secret.dialect != dialect:
            raise texts.GA_SECRET_ON_BETA if beta else texts.PARTLY_BETA_SECRET_ON_GA
        return self.asked_for(dialect, query, secret)

    def asked_for(self, dialect, query, secret):
        """The session of a query and a secret, once both may come in."""
        intent, model = query.get("intent") == "transcription", query.get("model")
        if intent and model and self._switches.intent_with_model == "refused":
            raise texts.MODEL_WITH_INTENT
        if secret is not None and not (model and secret.kind == "realtime"):
            self._desk.may_use(secret.model)
            return Session(self._switches, dialect, secret.kind, secret.model, secret.configuration)
        if model:
            self._check(model, dialect, misled=intent)
            return Session(self._switches, dialect, "realtime", model, misled=intent)
        if intent:
            return Session(self._switches, dialect, "transcription")
        raise texts.NO_MODEL

    def _check(self, model, dialect, *, misled):
        self._desk.may_use(model)
        if shapes.is_transcription(model):
            if not misled:
                long = dialect == "ga"
                refusal = texts.PARTLY_TRANSCRIPTION_MODEL if long else texts.NOT_A_REALTIME_MODEL
                raise refusal.said(model=model)
        elif model not in (*shapes.REALTIME_MODELS, *shapes.PREVIEW_MODELS):
            raise texts.NOT_A_REALTIME_MODEL.said(model=model)


async def _tell(websocket, said):
    for each in said:
        if isinstance(each, Closing):
            await websocket.close(each.code, each.reason)
        else:
            await websocket.send_text(json.dumps(each))
