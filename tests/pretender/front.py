"""What stands between a client and OpenAI: a proxy that answers itself, a clock that is wrong, CORS.

Rule: a request that a proxy answers never reaches what is behind it. `seen` keeps what came, as "GET /v1/models".
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, RedirectResponse, Response

from pretender.rest import date

PAGES = {
    "page": (200, "<!doctype html><title>Sign in</title><p>Sign in to the network."),
    "not_found": (404, "<!doctype html><title>404 Not Found</title><h1>Not Found</h1>"),
    "bad_gateway": (502, "<!doctype html><title>502 Bad Gateway</title><h1>502 Bad Gateway</h1>"),
    "gateway_timeout": (504, "<!doctype html><title>504 Gateway Time-out</title><h1>504 Gateway Time-out</h1>"),
}
UPGRADE_LOST = {
    "upgrade_400": Response("Bad Request", 400),
    "upgrade_426": Response("Upgrade Required", 426, {"Upgrade": "websocket"}),
    "upgrade_200": HTMLResponse("<!doctype html><title>Welcome</title><p>It works."),
}
READABLE = {"access-control-allow-origin": "*", "access-control-expose-headers": "Location, X-Request-ID"}


class Front:
    """The outermost ASGI application."""

    def __init__(self, inside, switches, seen):
        self._inside, self._switches, self._seen = inside, switches, seen

    async def __call__(self, scope, receive, send):
        kind = scope["type"]
        self._seen.append(f"{'WebSocket' if kind == 'websocket' else scope['method']} {scope['path']}")
        inside = self._proxy(scope) or self._preflight(scope) or self._inside

        async def with_headers(message):
            if message["type"] in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
                headers = MutableHeaders(raw=list(message.get("headers", [])))
                headers["date"] = date(self._switches.clock_skew_s)
                if self._switches.cors and kind == "http":
                    headers.update(READABLE)
                message = message | {"headers": headers.raw}
            await send(message)

        if kind == "websocket" and isinstance(inside, Response):
            await receive()
        await inside(scope, receive, with_headers)

    def _proxy(self, scope):
        proxy = self._switches.proxy
        if proxy in PAGES:
            status, page = PAGES[proxy]
            return HTMLResponse(page, status)
        if proxy in UPGRADE_LOST and scope["type"] == "websocket":
            return UPGRADE_LOST[proxy]
        if proxy == "to_https":
            host = Headers(scope=scope)["host"]
            return RedirectResponse(f"https://{host}{scope['path']}", 301)
        if proxy == "elsewhere" and not scope["path"].startswith("/moved"):
            return RedirectResponse(f"/moved{scope['path']}", 302)
        return None

    def _preflight(self, scope):
        if scope["type"] != "http" or scope["method"] != "OPTIONS":
            return None
        if not self._switches.cors:
            return Response(status_code=405)
        asked = Headers(scope=scope).get("access-control-request-headers", "")
        allowed = {"access-control-allow-methods": "GET, POST", "access-control-allow-headers": asked}
        return Response(status_code=200, headers=allowed)
