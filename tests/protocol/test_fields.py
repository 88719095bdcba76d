"""docs/api.md has a row for every field that OpenAI's SDK or our own structs know, and no row for any other.

That each row is true, tests/edge/test_fields_are_true.py sees to.
"""

from pathlib import Path

import msgspec
import pytest

import official_fields as sdk
from hark.models import honours
from hark.models.catalog import installed
from hark.protocol import answers, event_fields, fields, minting, sessions, uploads, wire
from hark.protocol.api_page import SECTIONS, page
from hark.protocol.fields import ANY, INSIDE


def own(*kinds):
    """Dotted paths of the values that our structs can hold."""
    found = set()
    for kind in kinds:
        found |= set(_own(msgspec.inspect.type_info(kind), ""))
    return found


def _own(kind, path):
    if isinstance(kind, msgspec.inspect.Metadata):
        kind = kind.type
    if isinstance(kind, msgspec.inspect.ListType):
        yield from _own(kind.item_type, path)
        return
    options = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    inside = [option for option in options if isinstance(option, msgspec.inspect.StructType | msgspec.inspect.ListType)]
    for struct in inside:
        if isinstance(struct, msgspec.inspect.ListType):
            yield from _own(struct, path)
            continue
        if struct.tag_field:
            yield f"{path}.{struct.tag_field}".strip(".")
        for field in struct.fields:
            yield from _own(field.type, f"{path}.{field.encode_name}".strip("."))
    plain = (msgspec.inspect.LiteralType, msgspec.inspect.BoolType)
    if not inside or any(isinstance(option, plain) for option in options):
        yield path


def by_event(*kinds):
    found = {}
    for kind in kinds:
        found[str(kind.__struct_config__.tag)] = own(kind)
    return found


CLIENT = sdk.merged(sdk.CLIENT, by_event(*wire.AnyClientEvent.__args__))
FRAMES = {"transcript.text.delta": answers.TextDelta, "transcript.text.segment": answers.SpeakerSegment}
FRAMES |= {"transcript.text.done": answers.TextDone, "json": answers.Transcript}
FRAMES |= {"verbose_json": answers.VerboseTranscript, "diarized_json": answers.DiarizedTranscript}
MINTED = {"client_secrets": answers.ClientSecret, "sessions": answers.BetaRealtimeMinted}
MINTED |= {"transcription_sessions": answers.BetaTranscriptionMinted}
BETA_ONLY = own(minting.BetaRequest) - own(sessions.BetaSession)
LIFETIMES = {f"client_secret.{path}" for path in own(minting.SecretIn)}
# What each section has to speak of; by event where it has several.
EXPECTED = {
    "Connecting": sdk.CONNECT,
    "Sessions, GA": sdk.GA_SESSION | own(sessions.GaSession),
    "Sessions, beta": sdk.BETA_SESSION | own(sessions.BetaSession),
    "Client events": CLIENT,
    "Server events": {
        **sdk.SERVER,
        # In none of the SDK's unions, though the server of its authors sent it (contract J.2).
        "transcription_session.created": sdk.SERVER["transcription_session.updated"],
        # Hark's own.
        "hark.voice_activity": {"type", "event_id", "audio_start_ms", "window_ms", "probabilities"},
    },
    "Minting, GA": {path for path in sdk.GA_MINTING | own(minting.GaRequest) if not path.startswith("session")},
    "Minting, beta": BETA_ONLY | LIFETIMES,
    "Answers of minting": sdk.merged(sdk.MINTED, {name: own(kind) for name, kind in MINTED.items()}),
    "Uploads": sdk.FORM | own(uploads.UploadForm),
    "Answers to uploads": sdk.merged(sdk.TRANSCRIPTS, {name: own(kind) for name, kind in FRAMES.items()}),
    "Models": sdk.MODEL | own(answers.Model),
    "WebRTC": sdk.CALLS,
}
# Rows of what is no field of a struct, each with a probe all the same.
BESIDE = {
    "Connecting": {
        "intent",
        "deployment",
        "api-version",
        "authorization",
        "api-key",
        "access_token",
        "resume",
        "after",
    },
    "Minting, GA": {"session.type"},
    "Server events": {
        "start_ms",
        "end_ms",
        "words.word",
        "words.start_ms",
        "words.end_ms",
        "resumed.audio_end_ms",
        "resumed.events_missed",
    },
}


def covers(path, field):
    """Whether a row of this path speaks for the field."""
    inside = path.removesuffix(INSIDE)
    return path in (ANY, field) or (path.endswith(INSIDE) and (field == inside or field.startswith(f"{inside}.")))


def test_the_page_is_what_the_command_writes():
    assert (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8") == page(honours.section(installed()))


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_every_field_has_its_row(section):
    expected = EXPECTED[section.title]
    wanted = expected if isinstance(expected, dict) else {"": expected}
    # `…` speaks for what nobody knows, but in rows of a whole event.
    said = [row for row in section.rows if row.path != ANY or row.event]
    if section.title == "Client events":
        said += [row for row in said if row.path == "session"]
    missing = [
        (event, field)
        for event, known in wanted.items()
        for field in known
        if not any(row.event == event and covers(_whole(row), field) for row in said)
    ]
    assert sorted(missing) == []


def _whole(row):
    """`session` of an update is spoken for by the sections of sessions."""
    return row.path + INSIDE if row.path == "session" else row.path


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_no_row_is_of_a_field_that_nobody_knows(section):
    expected = EXPECTED[section.title]
    wanted = expected if isinstance(expected, dict) else {"": expected}
    beside = BESIDE.get(section.title, set())
    unknown = [
        (row.event, row.path)
        for row in section.rows
        if row.path != ANY
        and row.path not in beside
        and not any(
            covers(_whole(row), field) or field.startswith(f"{row.path}.") for field in wanted.get(row.event, ())
        )
    ]
    assert unknown == []


def test_no_row_stands_twice():
    for section in SECTIONS:
        named = [(row.event, row.path) for row in section.rows]
        assert len(set(named)) == len(named)
    assert [section.title for section in SECTIONS if section in (fields.GA_SESSION, event_fields.SERVER)]
