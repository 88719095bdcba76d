"""What is counted of a session: from its events alone, each item once, and no label that grows with clients."""

import asyncio

import pytest

from hark.core import messages as m
from hark.core.settings import SessionSettings
from hark.errors import CallerError, ModelError
from hark.telemetry.families import Few
from hark.telemetry.metrics import Metrics

VIEW = m.SessionView("sess_1", 0, SessionSettings())


class Rig:
    """A session's watch, and what was counted."""

    def __init__(self, transport="websocket", model=None):
        self.metrics = Metrics(["whisper-1", "GPT-Transcribe"])
        self.position = 0
        self.transport = transport
        self.watch = self.metrics.sessions.begin(transport, model, lambda: self.position)

    def hear(self, *events):
        async def run():
            for event in events:
                await self.watch.saw(event)

        asyncio.run(run())

    def value(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, {"transport": self.transport} | labels)

    def items(self):
        """By what became of them, and how many are open."""
        self.metrics.sessions.refresh()
        ends = ("started", "completed", "deleted", "abandoned")
        found = {end: self.value(f"hark_items_{end}_total") for end in ends}
        found["failed"] = sum(sample.value for sample in self.samples("hark_items_failed_total"))
        return found, self.value("hark_items")

    def samples(self, name):
        return [each for metric in self.metrics.registry.collect() for each in metric.samples if each.name == name]


def completed(item_id, start=0, end=1_000):
    return m.TranscriptCompleted(item_id, "word", m.Usage("tokens", 1, 1, 1, 1), start, end)


def test_each_item_starts_once_and_ends_once():
    rig = Rig()
    rig.hear(m.SessionCreated(VIEW))
    rig.hear(m.SpeechStarted("a", 0), m.SpeechStopped("a", 900), m.AudioCommitted("a", None), completed("a", 100, 900))
    rig.hear(m.AudioCommitted("b", "a"), m.TranscriptFailed("b", ModelError("broken")))
    rig.hear(m.SpeechStarted("c", 0), m.ItemDeleted("c"), m.ItemDeleted("a"), m.ItemDeleted("of the client's"))
    rig.hear(m.SilenceTimedOut("d", 0, 5_000), m.AudioCommitted("d", "b"), m.SpeechStarted("e", 6_000))
    assert rig.items() == ({"started": 5, "completed": 1, "deleted": 1, "abandoned": 0, "failed": 1}, 2)
    rig.hear(m.SessionResumed(VIEW, 6_000), m.SessionEnded(1001, "session_expired"))
    assert rig.value("hark_sessions_resumed_total") == 1
    rig.watch.gone()
    assert rig.items() == ({"started": 5, "completed": 1, "deleted": 1, "abandoned": 2, "failed": 1}, 0)
    assert rig.value("hark_sessions") == 0
    assert rig.value("hark_sessions_ended_total", end="expired") == 1
    assert rig.value("hark_items_failed_total", code="server_error") == 1
    assert rig.value("hark_speech_seconds_total") == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("code", "reason", "end"),
    [
        (1000, "", "finished"),
        (1001, "session_idle", "idle"),
        (1001, "", "stopped"),
        (1012, "server_draining", "stopped"),
        (1013, "rate_limit_exceeded", "limit"),
        (3000, "invalid_api_key", "other"),
    ],
)
def test_how_a_session_ended_is_told(code, reason, end):
    rig = Rig()
    rig.hear(m.SessionEnded(code, reason))
    rig.watch.gone()
    assert rig.value("hark_sessions_ended_total", end=end) == 1


def test_latency_is_that_of_what_the_client_is_told():
    rig = Rig()
    rig.position = 16_000
    rig.hear(m.SpeechStarted("a", 0), m.TranscriptDelta("a", "wo"), m.TranscriptDelta("a", "rd"))
    rig.hear(m.SpeechStopped("a", 750), m.AudioCommitted("a", None), completed("a"))
    assert rig.value("hark_first_delta_seconds_count") == 1
    assert rig.value("hark_transcript_wait_seconds_count") == 1
    assert rig.value("hark_speech_stopped_lag_seconds_sum") == pytest.approx(0.25)
    assert rig.value("hark_deltas_total") == 2


def test_a_turn_whose_words_come_only_at_its_end_has_no_first_delta():
    rig = Rig()
    rig.hear(m.AudioCommitted("a", None), m.TranscriptDelta("a", "word"), completed("a"))
    assert rig.value("hark_first_delta_seconds_count") in (None, 0)
    assert rig.value("hark_transcript_wait_seconds_count") == 1


def test_nobody_waits_for_a_part_of_a_recording():
    rig = Rig("upload")
    rig.position = 320_000
    rig.hear(m.SpeechStarted("a", 0), m.TranscriptDelta("a", "word"), m.SpeechStopped("a", 900), completed("a"))
    rig.hear(m.SessionEnded(1000, ""))
    rig.watch.gone()
    for name in ("transcript_wait", "first_delta", "speech_stopped_lag"):
        assert rig.value(f"hark_{name}_seconds_count") in (None, 0)
    assert rig.metrics.registry.get_sample_value("hark_upload_realtime_factor_count") == 1
    assert rig.value("hark_sessions_ended_total", end="finished") == 1


def test_audio_counts_while_it_comes_and_no_sample_twice():
    rig = Rig()
    for rig.position in (16_000, 24_000, 24_000):
        rig.metrics.sessions.refresh()
    assert rig.value("hark_audio_seconds_total") == pytest.approx(1.5)
    rig.position = 32_000
    rig.watch.gone()
    rig.position = 64_000
    rig.metrics.sessions.refresh()
    assert rig.value("hark_audio_seconds_total") == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("asked", "counted"),
    [(None, "default"), ("whisper-1", "whisper-1"), ("gpt-transcribe", "GPT-Transcribe"), ("my secret name", "other")],
)
def test_models_are_counted_by_the_names_on_offer(asked, counted):
    assert Rig(model=asked).value("hark_sessions_opened_total", model=counted) == 1


def test_errors_are_counted_by_code_and_codes_stay_few():
    rig = Rig()
    refused = [m.Refused(CallerError("no", code=f"code_{n}"), None) for n in range(1_000)]
    rig.hear(*refused, *refused)
    errors = rig.samples("hark_errors_total")
    assert sum(sample.value for sample in errors) == 2_000
    assert len(errors) == 201
    assert {sample.labels["where"] for sample in errors} == {"session"}
    few = Few(["a"])
    assert [few("A"), few("b")] == ["a", "other"]
