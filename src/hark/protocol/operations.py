"""Every HTTP operation of the server as data: where it is, what it reads, what it answers, and how it refuses.

Rule: /openapi.json and /docs are made of this table alone; a test holds it against the routes of the application, in
both directions. Bodies are the types that requests are read by and answers are written by.
"""

from __future__ import annotations

from typing import Final

from hark.protocol import answers as a
from hark.protocol.minting import BetaRequest, GaRequest
from hark.protocol.operation import (
    CREDENTIAL_CODES,
    EVENTS,
    FAULT,
    FORM,
    JSON,
    LIMITS,
    SDP,
    TEXT,
    Code,
    Content,
    Operation,
    Parameter,
    Shape,
)
from hark.protocol.operations_service import SERVICE
from hark.protocol.uploads import PlainForm, UploadForm

_REALTIME: Final = ("/realtime", "/openai/realtime", "/openai/v1/realtime")
_MINTING_BASES: Final = ("/realtime", "/openai/v1/realtime", "/openai/realtime", "/openai/realtimeapi")
_JSON_BODY: Final = ' -H "Content-Type: application/json" -d '
_OFFER_CODES: Final = (
    Code(400, "invalid_offer", "an SDP offer that cannot be read, or without audio and data channel"),
    *LIMITS,
)
_MINTING_CODES: Final = (
    Code(400, "invalid_json", "the body is no JSON object"),
    Code(400, "invalid_value", "a field has a wrong type or value"),
    Code(400, "unknown_parameter", "a field that no schema has; param is its path"),
    Code(400, "missing_required_parameter", "expires_after without its anchor"),
    Code(400, "integer_below_min_value", "a number is too small; fractions: decimal_below_min_value"),
    Code(400, "integer_above_max_value", "a number is too large; fractions: decimal_above_max_value"),
    Code(400, "invalid_model", "a model that this server does not offer"),
    *_OFFER_CODES,
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
    *LIMITS,
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


_CALLS: Final = ("/realtime/calls", "/openai/v1/realtime/calls", "/openai/realtime/calls")
_ANY_OFFER: Final = (
    "An offer may stand bare, as application/sdp; as the part sdp of a form, beside a part session with the session's "
    "configuration; or so in JSON. A call belongs to the key that made it."
)
_CALL_CODES: Final = (
    *_OFFER_CODES,
    Code(400, None, "the form cannot be read"),
    Code(400, "invalid_model", "a model that this server does not offer"),
    Code(400, "invalid_json", "the session is no JSON object"),
    Code(400, "invalid_value", "a field of the session has a wrong type or value"),
    Code(400, "unknown_parameter", "a field of the session that no schema has"),
    *CREDENTIAL_CODES,
    Code(413, "request_too_large", "the body is over 256 KiB"),
    FAULT,
)
_NO_CALL: Final = Code(404, "call_not_found", "there is no such call of this key, or it has ended")
_CALL_ID: Final = Parameter("call_id", "path", "the last part of the Location that answered the offer")


def _telephone(verb: str) -> Operation:
    return Operation(
        id=f"{verb}_call",
        method="POST",
        path=f"/v1/realtime/calls/{{call_id}}/{verb}",
        aliases=tuple(f"{base}/{{call_id}}/{verb}" for base in _CALLS),
        title=f"{verb.capitalize()} a telephone call: not offered",
        words="For telephone calls, which this server does not take.",
        parameters=(_CALL_ID,),
        codes=(
            Code(400, "not_a_telephone_call", "always, for a call that is there"),
            *CREDENTIAL_CODES,
            _NO_CALL,
            FAULT,
        ),
    )


_BETA_WORDS: Final = "The body is optional; its fields are those of the session, flat. The answer is the session with"

_CONNECT: Final = (
    Parameter("intent", "query", "transcription makes it a transcription session"),
    Parameter("model", "query", "a name that transcribes, or a realtime model; else the server's default"),
    Parameter("deployment", "query", "Azure's word for model"),
    Parameter("api-version", "query", "Azure's; under /openai/, one that ends in -preview means beta"),
    Parameter("call_id", "query", "a call by WebRTC, to listen and speak beside it"),
    Parameter("OpenAI-Beta", "header", "realtime=v1 in the list means the beta dialect"),
    Parameter(
        "Sec-WebSocket-Protocol",
        "header",
        "realtime; openai-insecure-api-key.KEY carries a key or a client secret; openai-beta.realtime-v1 means "
        "the beta dialect",
    ),
)
_CALL_PARAMETERS: Final = (*_CONNECT[:4], _CONNECT[5])
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
        id="create_call",
        method="POST",
        path="/v1/realtime/calls",
        aliases=_CALLS,
        slash=True,
        title="Call by WebRTC",
        words=f"An SDP offer; the answer is the server's SDP. {_ANY_OFFER}",
        parameters=_CALL_PARAMETERS,
        body=(SDP, None),
        status=201,
        answers=(Content(SDP, (), "the answer, complete: there are no candidates after it"),),
        headers=(("Location", "/v1/realtime/calls/ and the call's id"),),
        codes=_CALL_CODES,
        example=' -H "Content-Type: application/sdp" --data-binary @offer.sdp',
    ),
    Operation(
        id="create_call_azure",
        method="POST",
        path="/v1/realtimertc",
        title="Call by WebRTC, Azure's preview",
        words=f"The same in the beta dialect. {_ANY_OFFER}",
        parameters=_CALL_PARAMETERS,
        body=(SDP, None),
        status=201,
        answers=(Content(SDP, (), "the answer"),),
        headers=(("Location", "/v1/realtime/calls/ and the call's id"),),
        codes=_CALL_CODES,
        example=' -H "Content-Type: application/sdp" --data-binary @offer.sdp',
    ),
    Operation(
        id="hang_up_call",
        method="POST",
        path="/v1/realtime/calls/{call_id}/hangup",
        aliases=tuple(f"{base}/{{call_id}}/hangup" for base in _CALLS),
        title="Hang up",
        words="Ends a call: its open turn is transcribed and told, then the connection closes. The answer is empty.",
        parameters=(_CALL_ID,),
        codes=(*CREDENTIAL_CODES, _NO_CALL, FAULT),
        succeeds=True,
    ),
    *(_telephone(verb) for verb in ("accept", "refer", "reject")),
    Operation(
        id="read_session_transcript",
        method="GET",
        path="/v1/realtime/sessions/{session_id}/transcript",
        aliases=tuple(f"{base}/sessions/{{session_id}}/transcript" for base in _REALTIME),
        title="Transcript of a session",
        words=(
            "What was heard in a session over WebSocket or WebRTC, while it lasts and for --resume-seconds after its "
            "end. For a client that was cut off and does not come back. Not an operation of OpenAI's."
        ),
        parameters=(
            Parameter("session_id", "path", "the id in session.created"),
            Parameter("response_format", "query", "json is the default", ("json", "text", "srt", "vtt")),
        ),
        answers=(
            Content(JSON, (a.SessionTranscript,), "response_format json"),
            Content(TEXT, (), "response_format text, srt or vtt: of the items that are completed"),
        ),
        codes=(
            *CREDENTIAL_CODES,
            Code(400, "invalid_value", "a response_format that there is not"),
            Code(404, "session_not_found", "there is no such session of this key, or it ended too long ago"),
            FAULT,
        ),
    ),
    Operation(
        id="offer_sdp",
        method="POST",
        path="/v1/realtime",
        aliases=_REALTIME,
        slash=True,
        title="Call by WebRTC, beta",
        words="The same as /v1/realtime/calls, in the beta dialect, for a body of type application/sdp or a form; "
        "any other gets 426. The URLs that mint client secrets take such bodies too.",
        parameters=_CALL_PARAMETERS,
        body=(SDP, None),
        status=201,
        answers=(Content(SDP, (), "the answer"),),
        headers=(("Location", "/v1/realtime/calls/ and the call's id"),),
        codes=(*_CALL_CODES, Code(426, "upgrade_required", "the body is no offer")),
        example=' -H "Content-Type: application/sdp" --data-binary @offer.sdp',
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
    *SERVICE,
)
