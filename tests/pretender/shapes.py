"""Session objects as OpenAI makes and checks them, in both dialects (contract A.1 to A.3, C).

Rule: a patch is taken or refused whole, and the first fault is told. Refuses: what OpenAI's schema does not have,
rates under 24,000, values outside a list, and models that there are not.
"""

import copy
import time

from pretender import texts

TRANSCRIPTION_MODELS = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-live-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-transcribe-diarize",
    "gpt-realtime-whisper",
)
REALTIME_MODELS = ("gpt-realtime", "gpt-realtime-1.5", "gpt-realtime-2.1", "gpt-realtime-mini")
PREVIEW_MODELS = (
    "gpt-4o-realtime-preview",
    "gpt-4o-realtime-preview-2024-10-01",
    "gpt-4o-realtime-preview-2024-12-17",
    "gpt-4o-mini-realtime-preview",
)
LIVE_MODELS = ("gpt-live-transcribe", "gpt-realtime-whisper")
COUNTED_IN_TOKENS = "gpt-4o"

ANY = None
TRANSCRIPTION = dict.fromkeys(("model", "language", "languages", "keywords", "prompt", "delay"))
SILENCE = ("threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms")
TURNS = dict.fromkeys(("type", "eagerness", "create_response", "interrupt_response", *SILENCE))
NOISE = dict.fromkeys(("type", "strength"))
FORMAT = dict.fromkeys(("type", "rate"))
GA_INPUT = {"format": FORMAT, "transcription": TRANSCRIPTION, "noise_reduction": NOISE, "turn_detection": TURNS}
GA_OUTPUT = {"format": FORMAT, "voice": ANY, "speed": ANY}
TALKING = dict.fromkeys(("model", "instructions", "tools", "tool_choice", "tracing"))
BETA_INPUT = {
    "input_audio_format": ANY,
    "input_audio_transcription": TRANSCRIPTION,
    "input_audio_noise_reduction": NOISE,
    "turn_detection": TURNS,
}
SHAPES = {
    ("ga", "transcription"): {"type": ANY, "include": ANY, "audio": {"input": GA_INPUT}},
    ("ga", "realtime"): {
        **TALKING,
        **dict.fromkeys(("type", "include", "output_modalities", "max_output_tokens", "truncation", "prompt")),
        "audio": {"input": GA_INPUT, "output": GA_OUTPUT},
    },
    ("beta", "transcription"): {**BETA_INPUT, "include": ANY},
    ("beta", "realtime"): {
        **TALKING,
        **BETA_INPUT,
        **dict.fromkeys(("modalities", "voice", "output_audio_format", "temperature", "max_response_output_tokens")),
        "speed": ANY,
    },
}
# By the end of the path, for both dialects.
SUPPORTED = {
    "format.type": ("audio/pcm", "audio/pcmu", "audio/pcma"),
    "input_audio_format": ("pcm16", "g711_ulaw", "g711_alaw"),
    "turn_detection.type": ("server_vad", "semantic_vad"),
    "noise_reduction.type": ("near_field", "far_field"),
    "eagerness": ("low", "medium", "high", "auto"),
}
SERVER_VAD = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200}
# What realtime sessions say besides of server_vad.
ANSWERING = {"create_response": True, "interrupt_response": True}
LOWEST_RATE = 24_000


def is_transcription(model):
    return model in TRANSCRIPTION_MODELS


def created(dialect, kind, session_id, model=None):
    """A new session object. `expires_at` is right here; minting says 0."""
    answering = {} if kind == "transcription" else ANSWERING
    head = {"id": session_id, "object": f"realtime.{'transcription_' if kind == 'transcription' else ''}session"}
    head["expires_at"] = int(time.time()) + 3600
    if dialect == "beta":
        session = {
            **head,
            "turn_detection": SERVER_VAD | answering,
            "input_audio_format": "pcm16",
            "input_audio_transcription": None,
            "input_audio_noise_reduction": None,
            "client_secret": None,
            "include": None,
        }
        return session if kind == "transcription" else session | {"model": model, "modalities": ["audio", "text"]}
    heard = {
        "format": {"type": "audio/pcm", "rate": 24000},
        "transcription": None,
        "noise_reduction": None,
        "turn_detection": SERVER_VAD | answering,
    }
    session = {"type": kind, **head, "audio": {"input": heard}, "include": None}
    if kind == "realtime":
        session |= {
            "model": model,
            "output_modalities": ["audio"],
            "instructions": "",
            "tools": [],
            "tool_choice": "auto",
        }
        session["audio"]["output"] = {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy", "speed": 1.0}
    return session


def listening(session):
    """The part that both dialects mean by other names: format, transcription, turn_detection."""
    if "audio" in session:
        heard = session["audio"]["input"]
        form = heard["format"]["type"].replace("audio/pcmu", "g711_ulaw").replace("audio/pcma", "g711_alaw")
        return form.replace("audio/pcm", "pcm16"), heard["transcription"], heard["turn_detection"]
    return session["input_audio_format"], session["input_audio_transcription"], session["turn_detection"]


def check(patch, dialect, kind, prefix):
    """Raises the Refusal of the first fault. `prefix` is what paths begin with: "session." in events."""
    for path, value in _walk(patch, SHAPES[dialect, kind], prefix):
        for end, supported in SUPPORTED.items():
            if path.endswith(end) and value not in (*supported, None):
                listed = ", ".join(f"'{name}'" for name in supported)
                raise texts.PARTLY_INVALID_VALUE.said(value=value, supported=listed, param=path)
        if path.endswith("format.rate") and isinstance(value, int) and value < LOWEST_RATE:
            raise texts.PARTLY_BELOW_MINIMUM.said(path=path, minimum=LOWEST_RATE, value=value, param=path)
        if path.endswith("transcription.model") and not is_transcription(value):
            raise texts.NOT_A_TRANSCRIPTION_MODEL.said(model=value)


def _walk(patch, shape, path):
    for name, value in patch.items():
        if name not in shape:
            raise texts.UNKNOWN_PARAMETER.said(path=path + name, param=path + name)
        if isinstance(value, dict) and shape[name] is not ANY:
            yield from _walk(value, shape[name], f"{path}{name}.")
        else:
            yield path + name, value


def merged(session, patch):
    """The session after a patch that has been checked. Raises a Refusal if the two do not go together."""
    after = _merge(copy.deepcopy(session), patch)
    _, transcription, turns = listening(after)
    if transcription and transcription["model"] in LIVE_MODELS and turns:
        raise texts.NO_TURN_DETECTION
    return after


def _merge(session, patch):
    for name, value in patch.items():
        if name.endswith("transcription") and value:
            given = {"model": None, "language": None, "prompt": None} | (session[name] or {}) | value
            session[name] = {key: each for key, each in given.items() if key not in ("delay", "keywords")}  # C.2
        elif name == "turn_detection" and value:
            before = session[name] or {}
            kind = value.get("type", before.get("type"))
            if before.get("type") != kind:
                before = SERVER_VAD if kind == "server_vad" else {"type": kind, "eagerness": "auto"}
            session[name] = before | value
        elif name in ("audio", "input", "output") and isinstance(value, dict):
            session[name] = _merge(session[name], value)
        elif name not in ("model", "type"):  # another model is ignored without a word (C.4)
            session[name] = value
    return session
