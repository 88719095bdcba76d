"""Every HTTP operation of the server as data: where it is, what it reads, what it answers, and how it refuses.

Rule: /openapi.json and /docs are made of this table alone; a test holds it against the routes of the application, in
both directions. Bodies are the types that requests are read by and answers are written by.
"""

from __future__ import annotations

from types import UnionType
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from hark.protocol import answers as a
from hark.protocol.minting import BetaRequest, GaRequest
from hark.protocol.uploads import PlainForm, UploadForm

Shape: TypeAlias = "type[Struct] | UnionType"
JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
EVENTS: Final = "text/event-stream; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"
CSS: Final = "text/css; charset=utf-8"
FORM: Final = "multipart/form-data"


class Parameter(Struct, frozen=True):
    name: str
    where: Literal["query", "header", "path"]
    words: str
    values: tuple[str, ...] = ()


class Content(Struct, frozen=True):
    """One form of an answer. `shapes`: any of them; none for text."""

    media_type: str
    shapes: tuple[Shape, ...] = ()
    words: str = ""


class Code(Struct, frozen=True):
    """A refusal: the status, `error.code` (None: null), and when."""

    status: int
    code: str | None
    when: str


class Operation(Struct, frozen=True, kw_only=True):
    """`path`: where it is, `{name}` for a parameter; `aliases`: where else; each also with a slash at its end where
    `slash` says so. `example`: what stands after the URL in a
    call with curl, or a whole command that names the server as {base}. `keyed`: whether it wants a credential."""

    id: str
    method: Literal["GET", "POST"]
    path: str
    aliases: tuple[str, ...] = ()
    slash: bool = False
    title: str
    words: str
    parameters: tuple[Parameter, ...] = ()
    body: tuple[str, Shape] | None = None
    status: int = 200
    answers: tuple[Content, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    codes: tuple[Code, ...] = ()
    refusal: type[Struct] = a.Refusal
    example: str = ""
    keyed: bool = True

    def command(self, base: str) -> str:
        """A line for a shell that tries it."""
        if "{base}" in self.example:
            return self.example.replace("{base}", base)
        method = "" if self.method == "GET" or self.body else " -X POST"
        key = ' -H "Authorization: Bearer $HARK_API_KEY"' if self.keyed else ""
        return f"curl{method} {base}{self.path.replace('{name}', 'whisper-1')}{key}{self.example}"

    @property
    def places(self) -> tuple[str, ...]:
        """Every path that it is served at."""
        return tuple(path + end for path in (self.path, *self.aliases) for end in (("", "/") if self.slash else ("",)))


CREDENTIAL_CODES: Final = (
    Code(401, None, "no credential was sent"),
    Code(401, "invalid_api_key", "the key or client secret is wrong or revoked"),
    Code(401, "expired_api_key", "the key has expired"),
    Code(401, "expired_client_secret", "the client secret has expired"),
    Code(401, "origin_not_allowed", "a page from elsewhere, and no key is set, or the key is for other pages"),
)
LIMIT: Final = Code(429, "rate_limit_exceeded", "a limit of the key is reached; Retry-After says for how many seconds")
FAULT: Final = Code(500, None, "a defect of the server; the message names the lines of its log")

# On every answer.
COMMON_HEADERS: Final = (
    ("x-request-id", "leads to the line that the server's log has of the request"),
    ("openai-version", "2020-10-01"),
    ("openai-processing-ms", "milliseconds until the answer began"),
)
RETRY_AFTER: Final = ("Retry-After", "seconds after which it may work")

_REALTIME: Final = ("/realtime", "/openai/realtime", "/openai/v1/realtime")
_MINTING_BASES: Final = ("/realtime", "/openai/v1/realtime", "/openai/realtime", "/openai/realtimeapi")
_JSON_BODY: Final = ' -H "Content-Type: application/json" -d '
_MINTING_CODES: Final = (
    Code(400, "invalid_json", "the body is no JSON object"),
    Code(400, "invalid_value", "a field has a wrong type or value"),
    Code(400, "unknown_parameter", "a field that no schema has; param is its path"),
    Code(400, "missing_required_parameter", "expires_after without its anchor"),
    Code(400, "integer_below_min_value", "a number is too small; fractions: decimal_below_min_value"),
    Code(400, "integer_above_max_value", "a number is too large; fractions: decimal_above_max_value"),
    Code(400, "invalid_model", "a model that this server does not offer"),
    Code(400, "invalid_offer", "the body is SDP, and WebRTC is not offered"),
    *CREDENTIAL_CODES,
    Code(413, "request_too_large", "the body is over 128 KiB"),
    FAULT,
)
_UPLOAD_CODES: Final = (
    Code(400, None, "the form or the file cannot be read"),
    Code(400, "missing_required_parameter", "no file, or no chunking_strategy for a model that tells speakers apart"),
    Code(400, "invalid_value", "a field has a value outside its table"),
    Code(400, "unsupported_value", "a field does not go with the model or the form of answer"),
    Code(400, "invalid_language_format", "the language is no code of ISO 639-1"),
    Code(400, "unsupported_format", "the file is no audio, in the words of the gpt-4o family"),
    Code(400, "audio_too_short", "the file holds less than 0.1 s"),
    Code(400, "audio_too_long", "the file holds more than --max-file-minutes, or than the key may send in an hour"),
    *CREDENTIAL_CODES,
    Code(404, "model_not_found", "nobody offers a model of this name"),
    LIMIT,
    Code(413, None, "the file is larger than --max-file-mb, or the whole body 1 MiB larger than that"),
    Code(415, "unsupported_media_type", "the body is no form"),
    Code(503, None, "a model failed; the request may work when sent again"),
    FAULT,
)


def _files(what: str) -> tuple[str, ...]:
    """Base URLs without /v1, and Azure's, where a deployment that bears the name of a model stands for it."""
    return tuple(f"{base}/audio/{what}" for base in ("", "/openai/v1", "/openai/deployments/{deployment}"))


def _minting(endpoint: str, title: str, words: str, *, body: Shape, answer: Shape, example: str) -> Operation:
    return Operation(
        id=f"create_{endpoint.removesuffix('s')}",
        method="POST",
        path=f"/v1/realtime/{endpoint}",
        aliases=tuple(f"{base}/{endpoint}" for base in _MINTING_BASES),
        slash=True,
        title=title,
        words=words,
        body=(JSON, body),
        answers=(Content(JSON, (answer,)),),
        codes=_MINTING_CODES,
        example=_JSON_BODY + f"'{example}'",
    )


_BETA_WORDS: Final = "The body is optional; its fields are those of the session, flat. The answer is the session with"

_CONNECT: Final = (
    Parameter("intent", "query", "transcription makes it a transcription session"),
    Parameter("model", "query", "a name that transcribes, or a realtime model; else the server's default"),
    Parameter("deployment", "query", "Azure's word for model"),
    Parameter("api-version", "query", "Azure's; under /openai/, one that ends in -preview means beta"),
    Parameter("call_id", "query", "refused: WebRTC is not offered"),
    Parameter("OpenAI-Beta", "header", "realtime=v1 in the list means the beta dialect"),
    Parameter(
        "Sec-WebSocket-Protocol",
        "header",
        "realtime; openai-insecure-api-key.KEY carries a key or a client secret; openai-beta.realtime-v1 means "
        "the beta dialect",
    ),
)
_UPGRADE: Final = (("Upgrade", "websocket"), ("Connection", "Upgrade"))
_NO_UPGRADE: Final = (Code(426, "upgrade_required", "the request is no WebSocket upgrade"), FAULT)

OPERATIONS: Final = (
    Operation(
        id="connect",
        method="GET",
        path="/v1/realtime",
        aliases=_REALTIME,
        slash=True,
        title="Transcribe live",
        words="A WebSocket, which this description cannot hold: the client upgrades, gets 101, and then both sides "
        "send JSON objects in text frames, as in OpenAI's Realtime API, in its GA or its beta dialect. The upgrade is "
        "never refused: whoever may not come in gets 101, an error event, and a close with 3000 (the credential) or "
        "4000 (the request). A plain request gets 426. Every event and every field stands in docs/protocol.md and "
        "docs/api.md of Hark's repository.",
        parameters=_CONNECT,
        status=101,
        headers=_UPGRADE,
        codes=_NO_UPGRADE,
        example="hark transcribe --live talk.mp3 --url {base}",
    ),
    Operation(
        id="connect_transcription",
        method="GET",
        path="/v1/realtime/transcription_sessions",
        slash=True,
        title="Transcribe live, under the name of another endpoint",
        words="The same WebSocket, always for a transcription session: people take this URL for the one to connect to.",
        parameters=_CONNECT,
        status=101,
        headers=_UPGRADE,
        codes=_NO_UPGRADE,
        example="hark transcribe --live talk.mp3 --url {base}",
    ),
    Operation(
        id="offer_sdp",
        method="POST",
        path="/v1/realtime",
        aliases=_REALTIME,
        slash=True,
        title="Call by WebRTC: not offered",
        words="WebRTC clients post an SDP offer here. This server does not take calls yet; connect a WebSocket.",
        codes=(Code(426, "upgrade_required", "always"), FAULT),
        keyed=False,
    ),
    _minting(
        "client_secrets",
        "Mint a client secret",
        "A short-lived secret for a browser or a phone, which opens sessions that start from the configuration given "
        "here. The body is optional, and may be null. Only a key mints.",
        body=GaRequest,
        answer=a.ClientSecret,
        example='{"session": {"type": "transcription"}}',
    ),
    _minting(
        "transcription_sessions",
        "Mint a client secret, beta: transcription",
        f"{_BETA_WORDS} the secret in it.",
        body=BetaRequest,
        answer=a.BetaTranscriptionMinted,
        example='{"input_audio_transcription": {"model": "gpt-4o-transcribe"}}',
    ),
    _minting(
        "sessions",
        "Mint a client secret, beta: realtime",
        f"{_BETA_WORDS} the secret in it. The session is one that could answer; here it only listens.",
        body=BetaRequest,
        answer=a.BetaRealtimeMinted,
        example='{"model": "gpt-4o-realtime-preview"}',
    ),
    Operation(
        id="create_transcription",
        method="POST",
        path="/v1/audio/transcriptions",
        aliases=_files("transcriptions"),
        title="Transcribe a file",
        words="An audio or video file of any container and codec that FFmpeg reads. A list is written x, x[] or x[0], "
        "repeated for each value; an object as chunking_strategy[type] or as one JSON text. An empty value counts as "
        "not sent, and unknown fields are ignored. With stream=true, each event is one line, data: and a JSON object; "
        "the last is data: [DONE]; one that fails after it began says so in a frame with error.",
        body=(FORM, UploadForm),
        answers=(
            Content(JSON, (a.Transcript, a.VerboseTranscript, a.DiarizedTranscript)),
            Content(TEXT, (), "response_format text, srt or vtt"),
            Content(EVENTS, (a.StreamFrame, a.Refusal), "with stream=true: one of these in each event"),
        ),
        headers=(("Cache-Control", "no-cache, for a stream"),),
        codes=_UPLOAD_CODES,
        refusal=a.UploadRefusal,
        example=" -F file=@talk.mp3 -F model=whisper-1",
    ),
    Operation(
        id="transcribe",
        method="POST",
        path="/transcribe",
        title="Transcribe a file, plainly",
        words="The same for programs that send a file and read text. Fields of the other endpoint are checked "
        "here too, and do not change the form of the answer.",
        body=(FORM, PlainForm),
        answers=(Content(JSON, (a.PlainTranscript,)),),
        codes=_UPLOAD_CODES,
        refusal=a.UploadRefusal,
        example=" -F file=@talk.mp3",
    ),
    Operation(
        id="create_translation",
        method="POST",
        path="/v1/audio/translations",
        aliases=_files("translations"),
        title="Translate a file: not offered",
        words="No model of this server translates.",
        codes=(Code(400, "translation_not_offered", "always"), *CREDENTIAL_CODES, FAULT),
        refusal=a.UploadRefusal,
    ),
    Operation(
        id="list_models",
        method="GET",
        path="/v1/models",
        aliases=("/models", "/openai/models", "/openai/v1/models"),
        slash=True,
        title="List models",
        words="Every name that clients may use, OpenAI's included.",
        answers=(Content(JSON, (a.ModelList,)),),
        codes=(*CREDENTIAL_CODES, FAULT),
    ),
    Operation(
        id="retrieve_model",
        method="GET",
        path="/v1/models/{name}",
        aliases=tuple(f"{base}/{{name}}" for base in ("/models", "/openai/models", "/openai/v1/models")),
        title="Show a model",
        words="One name, upper and lower case being the same.",
        parameters=(Parameter("name", "path", "a name of the list, such as whisper-1"),),
        answers=(Content(JSON, (a.Model,)),),
        codes=(*CREDENTIAL_CODES, Code(404, "model_not_found", "there is no such name"), FAULT),
    ),
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
        id="index",
        method="GET",
        path="/",
        title="Where things are",
        words="The version, and the URLs to begin with.",
        answers=(Content(JSON, (a.Index,)),),
        codes=(FAULT,),
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
)
