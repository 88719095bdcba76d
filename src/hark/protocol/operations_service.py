"""The HTTP operations that are about the server itself: health, readiness, drain, the page, the description."""

from __future__ import annotations

from typing import Final

from hark.protocol import answers as a
from hark.protocol.operation import (
    CREDENTIAL_CODES,
    CSS,
    DRAINING,
    FAULT,
    HTML,
    JSON,
    SCRIPT,
    SVG,
    TEXT,
    Code,
    Content,
    Operation,
    Parameter,
)

_NOT_THE_OPERATOR: Final = Code(401, "not_the_operator", "a key that is not the server's own")

SERVICE: Final = (
    Operation(
        id="health",
        method="GET",
        path="/health",
        title="Is it there?",
        words="200 once sessions are accepted.",
        answers=(Content(JSON, (a.Health,)),),
        codes=(FAULT,),
        keyed=False,
    ),
    Operation(
        id="metrics",
        method="GET",
        path="/metrics",
        title="Metrics",
        words="Of the whole server, in Prometheus' text format 0.0.4; docs/metrics.md of Hark's repository says what "
        "each means. Takes an API key in the header Authorization, and no client secret.",
        answers=(Content(TEXT),),
        codes=(*CREDENTIAL_CODES, FAULT),
    ),
    Operation(
        id="index",
        method="GET",
        path="/",
        title="Where things are",
        words="The version, and the URLs to begin with. To a browser, which asks for HTML: a page to speak into.",
        answers=(Content(JSON, (a.Index,)), Content(HTML)),
        codes=(FAULT,),
        keyed=False,
    ),
    Operation(
        id="console",
        method="GET",
        path="/console/{name}",
        title="The files of the page",
        words="",
        parameters=(Parameter("name", "path", "such as main.js"),),
        answers=(Content(SCRIPT), Content(CSS), Content(SVG)),
        codes=(Code(404, "unknown_url", "there is no such file"), FAULT),
        keyed=False,
    ),
    Operation(
        id="openapi",
        method="GET",
        path="/openapi.json",
        title="This description",
        words="OpenAPI 3.1.",
        answers=(Content(JSON, (), "an OpenAPI document"),),
        codes=(FAULT,),
        keyed=False,
    ),
    Operation(
        id="docs",
        method="GET",
        path="/docs",
        title="This description, to read",
        words="A page without scripts, and without anything from elsewhere.",
        answers=(Content(HTML),),
        headers=(("Content-Security-Policy", "nothing but the page's own style"),),
        codes=(FAULT,),
        keyed=False,
    ),
    Operation(
        id="docs_style",
        method="GET",
        path="/docs/style.css",
        title="The page's style",
        words="",
        answers=(Content(CSS),),
        codes=(FAULT,),
        keyed=False,
    ),
    Operation(
        id="ready",
        method="GET",
        path="/ready",
        title="Readiness",
        words="Whether new sessions are welcome: 503 while the server is taken out of service. For load balancers.",
        answers=(Content(JSON, (a.Readiness,)),),
        codes=(DRAINING, FAULT),
        keyed=False,
    ),
    Operation(
        id="drain",
        method="POST",
        path="/drain",
        title="Take the server out of service",
        words=(
            "New sessions are refused (503; over WebSocket close 1012), those that there are end at their next moment "
            "of quiet, at the latest after --drain-seconds. With several workers it holds for all. Only for the "
            "operator: with the key of --api-key, or from this machine where no key is set."
        ),
        status=202,
        answers=(Content(JSON, (a.Readiness,)),),
        codes=(*CREDENTIAL_CODES, _NOT_THE_OPERATOR, FAULT),
    ),
    Operation(
        id="undrain",
        method="DELETE",
        path="/drain",
        title="Put it into service again",
        words="New sessions are taken again.",
        answers=(Content(JSON, (a.Readiness,)),),
        codes=(*CREDENTIAL_CODES, _NOT_THE_OPERATOR, FAULT),
    ),
)
