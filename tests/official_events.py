"""Server events against the types that OpenAI publishes for its own client, strictly.

The gaps of those types are filled before the check, and there are two. One is theirs (contract J.2): the beta session's
`client_secret`, null on the wire, may not be null, and `transcription_session.created` is in no union, though it looks
like `.updated`. One is ours: PCM at another rate than 24,000, which a session has only if its client asked for it
(contract E).
"""

import json
import warnings
from collections import defaultdict
from copy import deepcopy
from functools import cache
from unittest.mock import ANY

import openai.types.beta.realtime as beta_types
import openai.types.realtime as ga_types
from pydantic import TypeAdapter, ValidationError


@cache
def adapters():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the beta dialect's types
        return {
            "ga": TypeAdapter(ga_types.RealtimeServerEvent),
            "beta": TypeAdapter(beta_types.RealtimeServerEvent),
        }


def without_gaps(event):
    if "session" not in event:
        return event
    kind, session = event["type"], _at_24_000(event["session"])
    if kind.startswith("transcription_session."):
        kind, session["client_secret"] = "transcription_session.updated", {"value": "", "expires_at": 0}
    return event | {"type": kind, "session": session}


def _at_24_000(session):
    """The session as it would be if its client had asked for no other rate."""
    session = deepcopy(session)
    heard = session.get("audio", {}).get("input", {}).get("format") or {}
    if isinstance(heard.get("rate"), int):
        heard["rate"] = 24_000
    if session.get("input_audio_format", {}) == {"type": "pcm16", "rate": ANY}:
        session["input_audio_format"] = "pcm16"
    return session


def validate(event, dialect):
    """Raises a ValidationError unless the types of this dialect have the event as it is."""
    adapters()[dialect].validate_json(json.dumps(without_gaps(event)), strict=True)


def fault(event, dialect):
    """What is wrong with the event, or None. Hark's own ones, sent to those who ask for them, are in no types."""
    if event["type"].startswith("hark."):
        return None
    try:
        validate(event, dialect)
    except ValidationError as error:
        kinds = defaultdict(list)
        for one in error.errors(include_url=False):
            kinds[one["loc"][0]].append(f"{'.'.join(map(str, one['loc']))}: {one['msg']}")
        return f"{event['type']}: {min(kinds.values(), key=len)}"
    return None
