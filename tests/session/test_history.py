"""One input gives one history, for any chunking and any latency of the models; and every started item ends once."""

from __future__ import annotations

from random import Random
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from hark.core import messages as m
from hark.core.settings import (
    AudioFormat,
    Eagerness,
    NoiseReduction,
    Patch,
    SessionSettings,
    TranscriptionPatch,
    TurnDetection,
    TurnDetectionPatch,
)
from hark.core.work import Audio, JudgeTurn, ScoreVoice
from hark.models.scripted import WORDS
from rehearsal import LANES, PCM_16K, Rehearsal, pcm, say

Step: TypeAlias = "Audio | m.AnyCommand"

words = st.sampled_from(WORDS)
pauses = st.sampled_from([40, 90, 160, 200, 230, 330, 500, 900, 2_500])
speech = st.lists(st.one_of(words, words, pauses), min_size=1, max_size=12).map(lambda parts: say(*parts))
updates = st.sampled_from(
    [
        Patch(turn_detection=None),
        Patch(turn_detection=TurnDetectionPatch(type="server_vad", silence_duration_ms=300)),
        Patch(turn_detection=TurnDetectionPatch(type="server_vad", threshold=0.7, prefix_padding_ms=0)),
        Patch(turn_detection=TurnDetectionPatch(silence_duration_ms=0)),
        Patch(turn_detection=TurnDetectionPatch(type="semantic_vad", eagerness="high")),
        Patch(turn_detection=TurnDetectionPatch(threshold=7.0)),
        Patch(turn_detection=TurnDetectionPatch(type="server_vad", idle_timeout_ms=5_000)),
        Patch(turn_detection=TurnDetectionPatch(idle_timeout_ms=None)),
        Patch(transcription=TranscriptionPatch(model="gpt-live-transcribe")),
        Patch(transcription=TranscriptionPatch(model="gpt-4o-transcribe")),
        Patch(transcription=None),
        Patch(format=AudioFormat("pcm16", 16_000)),
        Patch(format=AudioFormat("pcm16", 24_000)),
        Patch(format=AudioFormat("pcm16", 48_000)),
        Patch(format=AudioFormat("pcm16", 11_025)),
        Patch(format=AudioFormat("g711_ulaw", 8_000)),
        Patch(format=AudioFormat("g711_alaw", 8_000)),
        Patch(noise_reduction=NoiseReduction("near_field")),
        Patch(noise_reduction=NoiseReduction("far_field", strength=0.3)),
        Patch(noise_reduction=None),
    ]
)
commands = st.one_of(
    st.just(m.CommitAudio(event_id="c")),
    st.just(m.ClearAudio()),
    updates.map(lambda patch: m.UpdateSettings(patch=patch)),
    st.integers(0, 4).map(lambda n: m.DeleteItem(item_id=f"item_{n}")),
    st.integers(0, 4).map(lambda n: m.RetrieveItem(item_id=f"item_{n}")),
    st.just(m.CreateResponse()),
)
# One draw gives all the luck of an example: one for each chunk are so many that Hypothesis gives long examples up.
lucks = st.randoms(use_true_random=True)
scripts = st.lists(st.one_of(speech, speech, speech, commands), min_size=1, max_size=8)
modes = st.sampled_from(
    [
        None,
        TurnDetection(),
        TurnDetection(silence_duration_ms=500),
        TurnDetection(prefix_padding_ms=0),
        TurnDetection(type="semantic_vad"),
        TurnDetection(type="semantic_vad", eagerness="low"),
    ]
)


def perform(script: list[Step], mode: TurnDetection | None, chunk: int, luck: Random | None) -> Rehearsal:
    """Play the script in chunks of `chunk` bytes. `luck` says after each which model answers; None: all at once."""
    stage = Rehearsal(SessionSettings(turn_detection=mode, **PCM_16K))
    for step in script:
        if isinstance(step, m.Command):
            stage.give(step)
            _let_answer(stage, luck)
            continue
        data = pcm(step)
        for at in range(0, len(data), chunk):
            stage.give(m.AppendAudio(audio=data[at : at + chunk]))
            _let_answer(stage, luck)
    return stage.give(m.FinishSession()).answer_all()


def _let_answer(stage: Rehearsal, luck: Random | None) -> None:
    if luck is None:
        stage.answer_all()
        return
    for lane in LANES:
        for _ in range(luck.randrange(3)):
            stage.answer(lane)


def history(stage: Rehearsal) -> tuple[list[object], dict[str, list[object]]]:
    """What happened, less what may depend on speed: how items' texts interleave with other events and whether an item
    has its text yet when it is asked for, how text was cut into deltas, whether words of an item that never
    came to an end were shown before, and whether an item had come to its end before it was deleted."""
    texts = (m.TranscriptDelta, m.TranscriptCompleted, m.TranscriptFailed)
    happened = [_without_speed(event) for event in stage.events if not isinstance(event, texts)]
    deleted = {event.item_id for event in stage.events if isinstance(event, m.ItemDeleted)}
    # Taken for another rate, the scripted words have another length, and what the engine hears in them is no text of
    # which a partial hypothesis has the beginning.
    garbled = any(event.session.settings.format != PCM_16K["format"] for event in stage.said(m.SessionUpdated))
    items: dict[str, list[object]] = {}
    for event in stage.events:
        if isinstance(event, m.TranscriptCompleted | m.TranscriptFailed) and event.item_id not in deleted:
            end = event if isinstance(event, m.TranscriptCompleted) else event.error.message
            if isinstance(end, m.TranscriptCompleted) and garbled:
                end = end.audio_start_ms, end.audio_end_ms
            items.setdefault(event.item_id, []).append(end)
    return happened, items


def _without_speed(event: m.Event) -> object:
    match event:
        case m.Refused():
            return event.error.message, event.event_id
        case m.ItemRetrieved():
            return event.item.id, event.audio
    return event


@settings(max_examples=120, deadline=None)
@given(scripts, modes, st.integers(1, 9_000), lucks)
def test_one_input_gives_one_history(script: list[Step], mode: TurnDetection | None, chunk: int, luck: Random) -> None:
    prompt_models = perform(script, mode, 3_200, None)
    other = perform(script, mode, max(chunk, 200), luck)
    assert history(other) == history(prompt_models)


sentences = st.lists(st.tuples(words, st.sampled_from([160, 330, 500, 900, 2_500])), min_size=2, max_size=8)
eagerness = st.sampled_from(["low", "medium", "high"])


@settings(max_examples=80, deadline=None)
@given(sentences, eagerness, lucks)
def test_a_slow_judge_changes_no_history(sentences: list[tuple[str, int]], eager: Eagerness, luck: Random) -> None:
    mode = TurnDetection(type="semantic_vad", eagerness=eager)
    audio = say(*(part for sentence in sentences for part in sentence))
    prompt = Rehearsal(SessionSettings(turn_detection=mode, **PCM_16K)).hear(audio)
    slow = Rehearsal(SessionSettings(turn_detection=mode, **PCM_16K))
    data = pcm(audio)
    for at in range(0, len(data), 3_200):
        slow.give(m.AppendAudio(audio=data[at : at + 3_200]))
        slow.answer(ScoreVoice)
        if luck.randrange(6) == 0:
            slow.answer(JudgeTurn)
    for stage in (prompt, slow):
        stage.give(m.FinishSession()).answer_all()
    assert history(slow) == history(prompt)


@settings(max_examples=120, deadline=None)
@given(scripts, modes, lucks)
def test_every_started_item_ends_once_and_in_order(
    script: list[Step], mode: TurnDetection | None, luck: Random
) -> None:
    stage = perform(script, mode, 1_800, luck)
    deleted = {event.item_id for event in stage.events if isinstance(event, m.ItemDeleted)}
    owed: list[str] = []
    for event in stage.events:
        if isinstance(event, m.SpeechStarted | m.AudioCommitted) and event.item_id not in owed:
            owed.append(event.item_id)
    ended = [e.item_id for e in stage.events if isinstance(e, m.TranscriptCompleted | m.TranscriptFailed)]
    assert ended == [item_id for item_id in owed if item_id in ended], "in the order in which they began"
    assert set(owed) - deleted <= set(ended)
    assert len(set(ended)) == len(ended)
    assert isinstance(stage.events[-1], m.SessionEnded)


@settings(max_examples=120, deadline=None)
@given(scripts, modes, lucks)
def test_deltas_only_grow_and_add_up(script: list[Step], mode: TurnDetection | None, luck: Random) -> None:
    stage = perform(script, mode, 1_000, luck)
    shown: dict[str, str] = {}
    finished: set[str] = set()
    for event in stage.events:
        if isinstance(event, m.TranscriptDelta):
            assert event.item_id not in finished
            assert event.text
            shown[event.item_id] = shown.get(event.item_id, "") + event.text
        elif isinstance(event, m.TranscriptCompleted):
            assert event.transcript == shown.get(event.item_id, "")
            finished.add(event.item_id)


@settings(max_examples=60, deadline=None)
@given(scripts, modes, lucks)
def test_failing_models_lose_no_item(script: list[Step], mode: TurnDetection | None, luck: Random) -> None:
    stage = Rehearsal(SessionSettings(turn_detection=mode, **PCM_16K))
    stage.fail = lambda work: luck.random() < 0.5
    for step in script:
        if isinstance(step, m.Command):
            stage.give(step).answer_all()
        else:
            stage.hear(step, 2_000)
    stage.give(m.FinishSession()).answer_all()
    deleted = {event.item_id for event in stage.events if isinstance(event, m.ItemDeleted)}
    owed = {e.item_id for e in stage.events if isinstance(e, m.SpeechStarted | m.AudioCommitted)}
    ended = [e.item_id for e in stage.events if isinstance(e, m.TranscriptCompleted | m.TranscriptFailed)]
    assert owed - deleted <= set(ended)
    assert len(set(ended)) == len(ended)


waits = st.sampled_from([0.5, 3.0, 6.0, 70.0])
spells = st.lists(st.one_of(speech, speech, commands, waits), min_size=1, max_size=10)


@settings(max_examples=120, deadline=None)
@given(spells, modes, lucks)
def test_clients_and_models_that_fall_silent_lose_no_item(
    spells: list[Step | float], mode: TurnDetection | None, luck: Random
) -> None:
    stage = Rehearsal(SessionSettings(turn_detection=mode, **PCM_16K))
    for step in spells:
        if isinstance(step, float):
            stage.wait(step)
        elif isinstance(step, m.Command):
            stage.give(step)
        else:
            stage.hear(step, 2_000, answering=False)
        _let_answer(stage, luck)
    stage.give(m.FinishSession()).wait(1_000)
    deleted = {event.item_id for event in stage.events if isinstance(event, m.ItemDeleted)}
    owed = {e.item_id for e in stage.events if isinstance(e, m.SpeechStarted | m.AudioCommitted)}
    ended = [e.item_id for e in stage.events if isinstance(e, m.TranscriptCompleted | m.TranscriptFailed)]
    assert owed - deleted <= set(ended)
    assert len(set(ended)) == len(ended)
    assert isinstance(stage.events[-1], m.SessionEnded)
