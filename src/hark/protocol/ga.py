"""The GA dialect: events -> frames, as OpenAI sends them today (contract C.2, D.2)."""

from __future__ import annotations

from hark.core import messages as m
from hark.core.settings import Json
from hark.protocol import events, sessions
from hark.protocol.events import Frame, NewId

_PATHS = {"kind": "session.type", "include": "session.include", "model": "session.model"}


def param(field: str) -> str:
    """The name of a setting in this dialect: "format.rate" -> "session.audio.input.format.rate"."""
    return _PATHS.get(field, f"session.audio.input.{field}")


def session_object(view: m.SessionView) -> dict[str, Json]:
    """The session as session.created and session.updated show it."""
    settings = view.settings
    realtime = settings.kind == "realtime"
    heard: dict[str, Json] = {
        "format": sessions.write_ga_format(settings.format),
        "transcription": sessions.write_transcription(settings.transcription),
        "noise_reduction": sessions.write_noise(settings.noise_reduction),
        "turn_detection": sessions.write_turns(settings.turn_detection, realtime=realtime),
    }
    if not realtime:
        return {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": view.id,
            "expires_at": view.expires_at,
            "audio": {"input": heard},
            "include": sessions.write_include(settings),
        }
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": view.id,
        "model": view.model,
        **{name: settings.extras.get(name, default) for name, default in sessions.GA_EXTRAS.items()},
        "expires_at": view.expires_at,
        "audio": {"input": heard, "output": sessions.write_output(settings)},
        "include": sessions.write_include(settings),
    }


def encode(event: m.Event, new_id: NewId) -> list[Frame]:
    """The frames that say `event`, each with an event_id of its own."""
    match event:
        case m.SessionCreated():
            return [events.frame("session.created", new_id, session=session_object(event.session))]
        case m.SessionResumed():
            told: dict[str, Json] = {"session": session_object(event.session), "resumed": events.resumed(event)}
            return [events.frame("session.created", new_id, **told)]
        case m.SessionUpdated():
            return [events.frame("session.updated", new_id, session=session_object(event.session))]
        case m.ItemAdded():
            body: dict[str, Json] = {"previous_item_id": event.previous_item_id, "item": events.item(event.item)}
            return [events.frame(f"conversation.item.{step}", new_id, **body) for step in ("added", "done")]
        case m.Refused():
            return [events.error(event.error, event.event_id, new_id, param)]
        case _:  # closed: mypy finds an event that neither this match nor SharedEvent names
            return events.encode(event, new_id)
