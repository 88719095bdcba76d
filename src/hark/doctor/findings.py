"""Everything that `hark doctor` can find, by name: what it means, and how to mend it.

Rule: a name is for ever, since scripts look at it; docs/doctor.md has a row for each. The words hold for any server of
this API; a step that knows the exact call, header or field gives that instead. What OpenAI does is said as of November
2026 (contract A.9, B.3 and H).
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

FindingName: TypeAlias = Literal[
    # the way there
    "no-such-host", "nobody-listens", "no-answer", "server-hangs", "one-address-only", "tls-missing", "tls-not-spoken",
    "certificate-not-trusted", "certificate-other-name", "certificate-expired", "tls-failed", "not-http", "redirected",
    "proxy-fault", "proxy-refused", "server-fault", "not-this-api", "no-model-list", "clock-skew",
    # who asks
    "no-credential", "unsendable-key", "wrong-key", "key-expired", "secret-instead-of-key", "key-instead-of-secret",
    "secret-expired", "secret-of-other-kind", "secret-refused", "secret-born-expired", "no-secret-in-answer",
    "no-minting", "credential-place-refused", "origin-refused", "no-access", "quota", "rate-limited",
    # what for
    "unknown-model", "model-not-listed", "transcription-model-as-session-model", "missing-model", "intent-with-model",
    "beta-switched-off",
    # the handshake
    "wrong-websocket-path", "no-realtime", "upgrade-dropped", "subprotocol-not-chosen", "silent-server",
    "too-large-message",
    # settings
    "session-update-in-beta-session", "beta-update-in-ga-session", "unknown-parameter", "missing-session-type",
    "rate-too-low", "turn-detection-not-supported", "update-unanswered", "invalid-request", "transcription-off",
    # audio and words
    "binary-frames", "not-json", "no-audio", "wrong-audio", "no-speech-found", "commit-empty", "never-committed",
    "turn-never-ended", "transcript-failed", "no-transcript", "closed-too-early", "session-expired", "cut-off",
    "server-restarts",
    # WebRTC
    "no-webrtc", "invalid-offer", "empty-refusal", "offer-to-wrong-url", "ice-failed", "no-data-channel",
    # none of these
    "refused", "nothing-wrong",
]  # fmt: skip


class Finding(Struct, frozen=True):
    means: str
    mend: str


FINDINGS: Final[dict[FindingName, Finding]] = {
    # ---- the way there ---------------------------------------------------------------------------------------------
    "no-such-host": Finding(
        "No address is known for this name.",
        "Check the spelling of the host, and that this machine's DNS or /etc/hosts knows it.",
    ),
    "nobody-listens": Finding(
        "The machine is there and no program listens on this port.",
        "Start the server, or correct the port. A server that listens on 127.0.0.1 is not reached from other machines: "
        "start it with --host 0.0.0.0 and a key.",
    ),
    "no-answer": Finding(
        "Nothing came back: the machine is off, or a firewall drops what is sent to this port.",
        "Check address and port, then the firewalls on the way, those of the cloud included.",
    ),
    "server-hangs": Finding(
        "The connection stands and no answer to a request came.",
        "Look whether the server is stuck, overloaded or still starting, and whether it is what listens on this port.",
    ),
    "one-address-only": Finding(
        "The name has several addresses, and the server listens on some of them. Clients that try another one first "
        "wait or fail.",
        "Let clients use the address that works, such as 127.0.0.1 for localhost.",
    ),
    "tls-missing": Finding(
        "The server speaks TLS, and the URL says that it does not.",
        "Write https:// instead of http://, wss:// instead of ws://.",
    ),
    "tls-not-spoken": Finding(
        "The URL asks for TLS, and what listens there does not speak it.",
        "Write http:// and ws://; or give the server TLS: hark serve --tls-self-signed, --tls-cert, or a proxy.",
    ),
    "certificate-not-trusted": Finding(
        "The server's certificate is signed by nobody whom this machine trusts, as a self-signed one is.",
        "Name its certificate in SSL_CERT_FILE (Python) and NODE_EXTRA_CA_CERTS (Node), or import it into the browser; "
        "--insecure lets doctor go on without.",
    ),
    "certificate-other-name": Finding(
        "The certificate is for other host names than the one in the URL.",
        "Use a name that the certificate has, or get one for this name.",
    ),
    "certificate-expired": Finding(
        "The certificate's time is over, or this machine's clock is wrong.",
        "Renew it; if it is not over, set the clock.",
    ),
    "tls-failed": Finding("TLS could not be agreed on.", "See what came back; a proxy in between is a usual cause."),
    "not-http": Finding("What listens there does not speak HTTP.", "Check the port."),
    "redirected": Finding(
        "The server sends clients elsewhere. WebSockets do not follow, and SDKs take the key out.",
        "Use the address that the Location header names; a base URL is that up to /v1.",
    ),
    "proxy-fault": Finding(
        "A proxy answered that it cannot reach the server behind it.",
        "Look at the proxy's log; check that the server runs and that the proxy has its address.",
    ),
    "proxy-refused": Finding(
        "The refusal is no error of this API. A proxy or gateway before the server, with rules or a login of its own, "
        "is the usual cause.",
        "Look at the proxy's rules (nginx: auth_basic, allow, deny) and let /v1/ through: the server checks its keys.",
    ),
    "server-fault": Finding(
        "The server failed on the request.",
        "Look at the server's log under the request id; at OpenAI, try again, then look at their status page.",
    ),
    "not-this-api": Finding(
        "Something answers there that is not this API: no error of its form came back.",
        "Check host, port and path. A base URL usually ends in /v1; behind a proxy, that path must lead to the server.",
    ),
    "no-model-list": Finding(
        "There is no list of models at /v1/models, and realtime sessions are there.",
        "Nothing hangs on it; programs that ask for the list need a proxy that passes on all of /v1/.",
    ),
    "clock-skew": Finding(
        "The clocks of this machine and of the server differ, so secrets look expired before they are, or after.",
        "Set the clock by NTP on the side that is wrong; compare expires_at with the Date header of the same answer.",
    ),
    # ---- who asks --------------------------------------------------------------------------------------------------
    "no-credential": Finding(
        "The server wants a key, and none came.",
        "Send the header Authorization: Bearer KEY. From a browser: the subprotocols realtime and "
        "openai-insecure-api-key.SECRET. A key in the query is not looked at by OpenAI.",
    ),
    "unsendable-key": Finding(
        "The key has characters in it that none has, such as a line break, a space or a typographic quote: clients "
        "refuse to send it.",
        "Take them out where the key is kept: the environment, a file, a secret of the cluster.",
    ),
    "wrong-key": Finding(
        "The server does not know this key.",
        "Check for another service's key, a missing end, quotes or line breaks, and for a revoked key. A key of Hark's "
        "is no key of OpenAI's, nor the other way round.",
    ),
    "key-expired": Finding("The key's time is over.", "Make a new one; at Hark: hark keys create or hark keys rotate."),
    "secret-instead-of-key": Finding(
        "A client secret (ek_…) was sent where only a key is taken. Secrets open realtime sessions and nothing else.",
        "Send the API key for this request, from a program that may know it; use the secret for the session alone.",
    ),
    "key-instead-of-secret": Finding(
        "A key was sent where a client secret (ek_…) is wanted.",
        "Mint one first: POST /v1/realtime/client_secrets with the key, and send its `value`.",
    ),
    "secret-expired": Finding(
        "The client secret's time is over. It counts until the session begins; the session itself lasts longer.",
        "Mint one just before each connection, or with expires_after {anchor: created_at, seconds: 10 to 7200}.",
    ),
    "secret-of-other-kind": Finding(
        "The secret was minted for the other dialect: one of /v1/realtime/client_secrets opens GA sessions, one of "
        "/v1/realtime/sessions or /transcription_sessions beta ones.",
        "Mint at /v1/realtime/client_secrets and leave the header OpenAI-Beta and the subprotocol "
        "openai-beta.realtime-v1 out; or mint and connect both in beta.",
    ),
    "secret-refused": Finding(
        "The server minted this secret and does not take it here.",
        "Check that minting and connecting go to the same server, and that the URL is /v1/realtime (WebSocket) or "
        "/v1/realtime/calls (WebRTC).",
    ),
    "secret-born-expired": Finding(
        "The answer to minting names a time in the past. At OpenAI the session's expires_at has been 0 for years and "
        "means nothing; the secret's own one is client_secret.expires_at, or the one beside `value`.",
        "Try the secret: it may well work. Read the expires_at beside the secret, and look at the clocks.",
    ),
    "no-secret-in-answer": Finding(
        "Minting was answered with success and without a secret.",
        "Expected `value` (client_secrets) or `client_secret.value` (sessions, transcription_sessions): check the URL.",
    ),
    "no-minting": Finding(
        "This server mints no client secrets.",
        "Browsers need one, or they would hold the key: connect through a program of your own, or use a server that "
        "mints.",
    ),
    "credential-place-refused": Finding(
        "The server does not look for credentials in this place.",
        "Send the header Authorization: Bearer …, or the subprotocol openai-insecure-api-key.… from browsers.",
    ),
    "origin-refused": Finding(
        "The server does not serve pages of this origin.",
        "Hark without a key answers only pages of this machine: start it with --api-key. A key of its store may be "
        "bound to origins: hark keys list.",
    ),
    "no-access": Finding(
        "The key is good and may not use this, or not this model.",
        "At OpenAI: look at the project's limits, the key's permissions and the organisation's verification; ask "
        "GET /v1/models what the key may use.",
    ),
    "quota": Finding(
        "The account has no credit left.", "Look at the plan and billing of the account that the key belongs to."
    ),
    "rate-limited": Finding(
        "A limit is reached: requests, sessions at once, or what the server can carry.",
        "Wait for as long as Retry-After says; close sessions that are not used; at Hark: hark keys list shows limits.",
    ),
    # ---- what for --------------------------------------------------------------------------------------------------
    "unknown-model": Finding(
        "The server does not offer this model, or not for this use.",
        "Take a name that GET /v1/models lists; hark models lists those of Hark. For transcription it goes into "
        "session.audio.input.transcription.model (beta: input_audio_transcription.model).",
    ),
    "model-not-listed": Finding(
        "The model is not in the list of this key's models; it may work all the same, as an alias.",
        "Prefer a name that is listed.",
    ),
    "transcription-model-as-session-model": Finding(
        "?model= names the model of a session that answers, and this one transcribes.",
        "Connect with ?intent=transcription and no model, and name the model in session.update: "
        "session.audio.input.transcription.model.",
    ),
    "missing-model": Finding(
        "The URL says neither which model nor that it is for transcription.",
        "Connect to /v1/realtime?intent=transcription, or with ?model= and a realtime model.",
    ),
    "intent-with-model": Finding(
        "The URL has intent=transcription and model= together. OpenAI refused that for a year; now the model counts, "
        "the session is no transcription session, and its settings are refused.",
        "Leave model out of the URL and name it in session.update: session.audio.input.transcription.model.",
    ),
    "beta-switched-off": Finding(
        "The client speaks the beta dialect, which this server has switched off.",
        "Leave out the header OpenAI-Beta: realtime=v1 and the subprotocol openai-beta.realtime-v1, mint at "
        "/v1/realtime/client_secrets, send session.update with session.type transcription. Or use a server that speaks "
        "both, as Hark does.",
    ),
    # ---- the handshake ---------------------------------------------------------------------------------------------
    "wrong-websocket-path": Finding(
        "There is no WebSocket at this path. It is no question of access, whatever 403 suggests.",
        "Connect to /v1/realtime?intent=transcription. /transcription_sessions, /client_secrets and /sessions take "
        "HTTP POST and mint secrets.",
    ),
    "no-realtime": Finding(
        "The path is right and no WebSocket is there: the server has no realtime sessions, or a proxy before it hides "
        "them.",
        "Use a server that has them, as Hark does. If this one has: let the proxy pass /v1/realtime on, with Upgrade "
        "and Connection.",
    ),
    "upgrade-dropped": Finding(
        "HTTP works and the WebSocket handshake gets an ordinary answer: something in between does not pass it on.",
        "Let the proxy forward Upgrade and Connection over HTTP/1.1 (nginx: proxy_http_version 1.1; proxy_set_header "
        'Upgrade $http_upgrade; proxy_set_header Connection "upgrade";).',
    ),
    "subprotocol-not-chosen": Finding(
        "Subprotocols were offered and the server chose none; browsers end such a connection.",
        "The server, or a proxy before it, must answer Sec-WebSocket-Protocol: realtime.",
    ),
    "silent-server": Finding(
        "The connection was accepted and no session began: session.created never came.",
        "Is it a server of this API? A proxy that holds back what it forwards does it too: switch its buffering off.",
    ),
    "too-large-message": Finding(
        "A message was larger than the other side takes (close code 1009).",
        "Send audio in pieces of 20 to 200 ms; give the client library a larger limit for what it receives.",
    ),
    # ---- settings --------------------------------------------------------------------------------------------------
    "session-update-in-beta-session": Finding(
        "session.update was sent to a beta transcription session, which OpenAI answers with a server error that says "
        "nothing.",
        "Send transcription_session.update with the flat beta fields there; or speak GA: session.update with "
        "session.type transcription.",
    ),
    "beta-update-in-ga-session": Finding(
        "transcription_session.update was sent to a session that is none of the beta's transcription sessions.",
        "In GA send session.update with session.type transcription, and connect with ?intent=transcription.",
    ),
    "unknown-parameter": Finding(
        "A field was sent that this server does not know.",
        "Leave out the field that `param` names, or put it where the dialect has it: docs/api.md lists every field.",
    ),
    "missing-session-type": Finding(
        "GA's session.update must say which kind of session it is for.", 'Add "type": "transcription" to `session`.'
    ),
    "rate-too-low": Finding(
        "The server takes PCM from 24,000 samples a second on.",
        'Resample to 24,000 and send format {"type": "audio/pcm", "rate": 24000}. Hark takes any rate from 8,000.',
    ),
    "turn-detection-not-supported": Finding(
        "This model ends turns only when the client commits.", "Send turn_detection null, and commit at pauses."
    ),
    "update-unanswered": Finding(
        "The settings were neither acknowledged nor refused.",
        "Check that the event is a text frame, and that the update is one of the session's dialect.",
    ),
    "invalid-request": Finding(
        "The server refused what was sent, and says why.", "Correct the field that `param` names."
    ),
    "transcription-off": Finding(
        "The session has no transcription model, so OpenAI sends no transcripts, and no error either.",
        "Set session.audio.input.transcription.model (beta: input_audio_transcription.model).",
    ),
    # ---- audio and words -------------------------------------------------------------------------------------------
    "binary-frames": Finding(
        "Audio was sent as binary frames.",
        'Send text frames: {"type": "input_audio_buffer.append", "audio": BASE64}.',
    ),
    "not-json": Finding("A frame was no JSON.", "Send one JSON object a frame, as text."),
    "no-audio": Finding(
        "The session was open and no audio was sent.",
        "Send input_audio_buffer.append with base64 audio; in a browser, see that the microphone is allowed.",
    ),
    "wrong-audio": Finding(
        "The audio is not what the session says that it is.", "Send what session.audio.input.format says, or change it."
    ),
    "no-speech-found": Finding(
        "Audio came, and no speech was found in it.",
        "Listen to what is sent: silence, a wrong format, rate or byte order, or too low a level. A high threshold "
        "does it too.",
    ),
    "commit-empty": Finding(
        "A commit came with less than 100 ms of audio. Turn detection often has just committed the same audio.",
        "With turn detection on, do not commit; without it, commit after audio. The session goes on in any case.",
    ),
    "never-committed": Finding(
        "Turn detection is off and the client never committed, so no turn ended.",
        "Send input_audio_buffer.commit at the end of each turn, or switch turn_detection on.",
    ),
    "turn-never-ended": Finding(
        "Speech began and its end was not heard: audio stopped before the silence that ends a turn.",
        "Send silence for longer than silence_duration_ms after the last word, or commit.",
    ),
    "transcript-failed": Finding(
        "A turn could not be transcribed.", "The `failed` event says why; the session goes on."
    ),
    "no-transcript": Finding(
        "A turn was committed and no transcript came.",
        "Look at the server's log and load; at OpenAI, see that the session has a transcription model.",
    ),
    "closed-too-early": Finding(
        "The client closed before its last transcript came.",
        "After the last commit, wait for `completed` or `failed` of every item, then close.",
    ),
    "session-expired": Finding(
        "The session reached its longest time, or its client's longest silence.",
        "Begin a new one before; at Hark: --max-session-minutes, --max-idle-minutes.",
    ),
    "cut-off": Finding(
        "The connection broke without a close: network, proxy time-out, or a process that ended.",
        "Let the proxy keep idle connections (nginx: proxy_read_timeout), send pings, and connect again.",
    ),
    "server-restarts": Finding("The server was stopped or is overloaded.", "Connect again after a moment."),
    # ---- WebRTC ----------------------------------------------------------------------------------------------------
    "no-webrtc": Finding("This server takes no WebRTC calls.", "Use the WebSocket."),
    "invalid-offer": Finding(
        "The offer could not be read, or has no audio.",
        "POST offer.sdp whole, its last line break included, as application/sdp, with a microphone track added before.",
    ),
    "empty-refusal": Finding(
        "The server refused with an error that says nothing. OpenAI does that to WebRTC offers at /v1/realtime with a "
        "transcription model in the URL.",
        "POST the offer to /v1/realtime/calls with a secret of /v1/realtime/client_secrets for a session of type "
        "transcription, and no model in the URL.",
    ),
    "offer-to-wrong-url": Finding(
        "A WebRTC offer went to a URL that mints secrets.",
        "POST the offer to /v1/realtime/calls, with Content-Type: application/sdp and the secret as bearer.",
    ),
    "ice-failed": Finding(
        "The call was answered and no packets get through: UDP is blocked, or the answer names addresses that cannot "
        "be reached from here.",
        "Open the server's UDP ports. For Hark in a container: --webrtc-ports and --webrtc-address; behind a NAT: "
        "--webrtc-stun or --webrtc-turn.",
    ),
    "no-data-channel": Finding(
        "The call stands and its data channel never opened, so no events come.",
        "Make the channel oai-events before the offer.",
    ),
    # ---- none of these ---------------------------------------------------------------------------------------------
    "refused": Finding("The server refused.", "See what came back: its message says more than doctor knows."),
    "nothing-wrong": Finding("Nothing is wrong here.", "If a client fails still, give doctor its URL, or its log."),
}  # fmt: skip
assert FINDINGS.keys() == set(get_args(FindingName))
