"""The beta dialect, which OpenAI has switched off and most published code still speaks (contract C.1, D.2).

It differs from GA in the session object, in the names of its two events for transcription sessions, and in having one
`conversation.item.created` where GA has `added` and `done`.
"""

from __future__ import annotations

from hark.core import messages as m
from hark.core.settings import Json
from hark.protocol import events, sessions
from hark.protocol.events import Frame, NewId

_NAMES = {
    "format": "input_audio_format",
    "transcription": "input_audio_transcription",
    "noise_reduction": "input_audio_noise_reduction",
}


def param(field: str) -> str:
    """The name of a setting in this dialect: "transcription.model" -> "session.input_audio_transcription.model"."""
    head, _, rest = field.partition(".")
    return ".".join(part for part in ("session", _NAMES.get(head, head), rest) if part)


def session_object(view: m.SessionView) -> dict[str, Json]:
    """The session as the created and updated events show it."""
    settings = view.settings
    realtime = settings.kind == "realtime"
    heard: dict[str, Json] = {
        "turn_detection": sessions.write_turns(settings.turn_detection, realtime=realtime),
        "input_audio_format": sessions.write_beta_format(settings.format),
        "input_audio_transcription": sessions.write_transcription(settings.transcription),
        "input_audio_noise_reduction": sessions.write_noise(settings.noise_reduction),
        "client_secret": None,
        "include": sessions.write_include(settings),
    }
    head: dict[str, Json] = {"id": view.id, "expires_at": view.expires_at}
    if not realtime:
        return {**head, "object": "realtime.transcription_session", **heard}
    spoken = {name: settings.extras.get(name, default) for name, default in sessions.BETA_EXTRAS.items()}
    return {**head, "object": "realtime.session", "model": view.model, **spoken, **heard}


def encode(event: m.Event, new_id: NewId) -> list[Frame]:
    """The frames that say `event`, each with an event_id of its own."""
    match event:
        case m.SessionCreated():
            return [events.frame(_named(event.session, "created"), new_id, session=session_object(event.session))]
        case m.SessionResumed():
            told: dict[str, Json] = {"session": session_object(event.session), "resumed": events.resumed(event)}
            return [events.frame(_named(event.session, "created"), new_id, **told)]
        case m.SessionUpdated():
            return [events.frame(_named(event.session, "updated"), new_id, session=session_object(event.session))]
        case m.ItemAdded():
            item = events.item(event.item)
            return [
                events.frame("conversation.item.created", new_id, previous_item_id=event.previous_item_id, item=item)
            ]
        case m.Refused():
            return [events.error(event.error, event.event_id, new_id, param)]
        case _:  # closed: mypy finds an event that neither this match nor SharedEvent names
            return events.encode(event, new_id)


def _named(view: m.SessionView, step: str) -> str:
    return f"{'session' if view.settings.kind == 'realtime' else 'transcription_session'}.{step}"
