"""GET /v1/models: every name that a client may use here, in the form in which OpenAI lists its own (contract A.7).

Rule: the table is handed in; this floor knows no model. Names match without regard to case, as at the handshake.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from hark.auth.keys import Keys
from hark.edge import guard
from hark.edge.status import envelope
from hark.errors import CallerError
from hark.protocol.answers import Model, ModelList
from hark.protocol.sessions import answers_with_voice


class Models(Struct, frozen=True):
    """The two endpoints: who may ask, and what there is. `other` says how a name looks that is not in the table: those
    of realtime sessions are known by how they begin."""

    keys: Keys
    table: list[Model]
    other: Callable[[str], Model]
    any_origin: bool = False

    async def index(self, request: Request) -> Response:
        """All of them. Raises AuthError."""
        await guard.admit(request, self.keys, any_origin=self.any_origin)
        return _json(ModelList(self.table))

    async def show(self, request: Request) -> Response:
        """One of them. Raises AuthError."""
        await guard.admit(request, self.keys, any_origin=self.any_origin)
        name = request.path_params["name"]
        for model in self.table:
            if model.id.casefold() == name.casefold():
                return _json(model)
        if answers_with_voice(name):
            return _json(self.other(name))
        message = f"The model '{name}' does not exist. GET /v1/models lists those that do."
        return envelope(CallerError(message, code="model_not_found", param="model"), 404)


def _json(body: Struct) -> Response:
    """In lines, as OpenAI does here: people grep them (contract G.3)."""
    return Response(msgspec.json.format(msgspec.json.encode(body), indent=2), media_type="application/json")
