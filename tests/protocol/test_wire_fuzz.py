"""Whatever a client sends, decoding raises nothing, and what was accepted can be said again in both dialects."""

import json
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from hark.core import messages as m
from hark.core.settings import SessionSettings, SettingsError, merge
from hark.protocol import sessions, wire
from hark.protocol.dialects import DIALECTS

READ = [
    *wire.AnyClientEvent.__args__, sessions.GaSession, sessions.GaAudio, sessions.GaInput, sessions.BetaSession,
    sessions.Format, sessions.TranscriptionIn, sessions.NoiseReductionIn, sessions.TurnDetectionIn,
]  # fmt: skip
WORDS = [
    "transcription",
    "realtime",
    "audio/pcm",
    "pcm16",
    "g711_alaw",
    "server_vad",
    "semantic_vad",
    "none",
    "en",
    "low",
]

names = st.sampled_from(sorted({name for read in READ for name in read.__struct_fields__}))
types = st.sampled_from(wire.CLIENT_EVENTS)
words = st.sampled_from(WORDS)
numbers = st.sampled_from([0, -1, 0.5, 24_000, 1e308, 10**30, -(2**63) - 1, float("nan"), float("inf")])
half_a_pair = st.characters(categories=["Cs"])
scalars = st.none() | st.booleans() | numbers | types | words | st.text(max_size=3) | half_a_pair
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=2), inner, max_size=4)
)
inputs = st.fixed_dictionaries({}, optional={"format": trees, "transcription": trees, "turn_detection": trees})
nested = st.fixed_dictionaries({"audio": st.fixed_dictionaries({"input": inputs, "output": trees})})
bodies = trees | st.dictionaries(names, trees, max_size=3) | nested
frames = st.fixed_dictionaries(
    {"type": types},
    optional={"session": bodies, "item": bodies, "event_id": scalars, "audio": scalars, "item_id": words},
)
texts = st.builds(lambda tree, ascii_only: json.dumps(tree, ensure_ascii=ascii_only), frames | trees, st.booleans())
broken = st.builds(lambda text, at, more: text[:at] + more + text[at + 1 :], texts, st.integers(0, 200), st.text())


@settings(max_examples=300, deadline=None)
@given(texts | broken | st.text() | st.binary())
def test_nothing_is_raised_and_all_that_is_accepted_can_be_said_again(raw):
    event = answer(wire.decode(raw))
    ids = count()
    for dialect in DIALECTS.values():
        for said in dialect.encode(event, lambda prefix: f"{prefix}_{next(ids)}") if event else ():
            assert json.loads(said)["event_id"].startswith("event_")


def answer(command):
    """The event that answers `command`, where no session need be asked."""
    match command:
        case m.Refuse():
            return m.Refused(command.error, command.event_id)
        case m.CreateItem():
            return m.ItemAdded(m.Item("item_1", raw=command.item), None)
        case m.UpdateSettings():
            try:
                return m.SessionUpdated(
                    m.SessionView("sess_1", 0, merge(SessionSettings(), command.patch, "whisper-1"))
                )
            except SettingsError as error:
                return m.Refused(error, command.event_id)
    return None
