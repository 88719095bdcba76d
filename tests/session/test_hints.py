"""What a client says besides the audio: what the engine is told of it, what becomes of its answer, what is told."""

import pytest
from msgspec import structs

from hark.core import messages as m
from hark.core.settings import LOGPROBS, Transcription, TranscriptionPatch, TurnDetection
from hark.core.work import Hypothesis, Token
from hark.session.jobs import Job
from rehearsal import Rehearsal, say, staged

MANUAL = None
SERVER = TurnDetection()
BOTH = [MANUAL, SERVER]


def last(stage, kind):
    return stage.said(kind)[-1]


HINTS = Transcription("gpt-4o-transcribe", language="de", prompt="Namen", keywords=("Hark",))


def test_hints_reach_the_engine():
    stage = staged(SERVER, transcription=HINTS).hear(say(200, "alpha", "bravo", "charlie", 400))
    for work in stage.requests(final=True) + stage.requests(final=False):
        assert (work.engine, work.language, work.prompt, work.keywords) == ("scripted", "de", "Namen", ("Hark",))
    assert last(stage, m.TranscriptCompleted).usage.kind == "tokens"


@pytest.mark.parametrize(("languages", "language"), [((), None), (("fr",), "fr"), (("fr", "en"), None)])
def test_one_language_of_several_is_a_hint(languages, language):
    stage = staged(SERVER, transcription=Transcription("scripted", languages=languages)).hear(say("alpha", 400))
    assert stage.requests(final=True)[0].language == language


def test_a_language_that_the_engine_does_not_know_is_not_asked_of_it_and_the_log_says_so_once():
    stage = staged(SERVER, transcription=Transcription("english", language="de-AT", languages=()))
    stage.hear(say("alpha", 400)).hear(say("bravo", 400))
    assert [(work.engine, work.language, work.languages) for work in stage.requests(final=True)] == [
        ("scripted", None, ())
    ] * 2
    assert stage.transcripts() == ["alpha", "bravo"]
    assert "'de'" in stage.session.take_notice()
    assert stage.session.take_notice() is None


@pytest.mark.parametrize(
    ("asked", "language", "languages"),
    [
        ("en-US", "en", ()),
        ("English", "en", ()),
        ("", None, ()),
        (("de", "en"), "en", ()),
        (("en", "fr"), None, ("en", "fr")),
    ],
)
def test_of_several_languages_those_that_the_engine_knows_are_asked_of_it(asked, language, languages):
    hints = {"language": asked} if isinstance(asked, str) else {"languages": asked}
    stage = staged(SERVER, transcription=Transcription("english", **hints)).hear(say("alpha", 400))
    (work,) = stage.requests(final=True)
    assert (work.language, work.languages) == (language, languages)
    assert (stage.session.take_notice() is None) == (asked != ("de", "en"))


def test_delay_says_how_soon_words_are_shown():
    """The same speech and the same hypotheses; only when the words leave is different."""
    words = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett")

    def deltas(delay):
        stage = staged(SERVER, transcription=Transcription("scripted", delay=delay)).hear(say(200, *words))
        early = "".join(event.text for event in stage.said(m.TranscriptDelta))
        stage.hear(say(400))
        assert stage.transcripts() == [" ".join(words)]
        return len(early.split())

    shown = [deltas(delay) for delay in ("minimal", "low", "medium", "high", "xhigh")]
    assert shown == sorted(shown, reverse=True)
    assert shown[0] > shown[2] > shown[4]
    assert deltas(None) == shown[2]


def test_hints_are_fixed_when_the_turn_starts():
    stage = staged(SERVER, transcription=HINTS).hear(say(200, "alpha", "bravo"))
    stage.set(transcription=TranscriptionPatch(language="fr", model="scripted"), include=(LOGPROBS,))
    stage.hear(say("charlie", 400)).hear(say("delta", 400))
    assert [work.language for work in stage.requests(final=True)] == ["de", "fr"]
    first, second = stage.said(m.TranscriptCompleted)
    assert (first.usage.kind, second.usage.kind) == ("tokens", "duration")
    assert (first.tokens is None, second.tokens is None) == (True, False)


def test_logprobs_come_only_if_they_are_asked_for():
    stage = Rehearsal().hear(say(200, "alpha", "bravo", "charlie", 400))
    assert all(event.tokens is None for event in stage.said(m.TranscriptDelta, m.TranscriptCompleted))


def test_logprobs_spell_the_text():
    stage = staged(SERVER, include=(LOGPROBS,)).hear(say(200, "alpha", "bravo", "charlie", "delta", "echo", 400))
    deltas, completed = stage.said(m.TranscriptDelta), last(stage, m.TranscriptCompleted)
    assert len(deltas) > 1
    for delta in deltas:
        assert "".join(token.text for token in delta.tokens) == delta.text
    assert "".join(token.text for token in completed.tokens) == completed.transcript
    assert completed.tokens == tuple(token for delta in deltas for token in delta.tokens)


def test_languages_are_named_for_the_models_whose_clients_ask():
    live = Transcription("gpt-live-transcribe")
    assert last(staged(SERVER, transcription=live).hear(say("alpha", 400)), m.TranscriptCompleted).languages == ("en",)
    silent = staged(SERVER, transcription=live).hear(say(400)).give(m.CommitAudio())
    assert last(silent, m.TranscriptCompleted).languages == ()
    assert last(staged(SERVER).hear(say("alpha", 400)), m.TranscriptCompleted).languages is None


@pytest.mark.parametrize(
    ("detected", "hints", "told"),
    [
        ("fr", {"language": "de"}, ("fr",)),
        (None, {"language": "de"}, ("de",)),
        (None, {"languages": ("de", "fr")}, ()),
        (None, {}, ()),
    ],
)
def test_languages_are_those_that_were_heard_or_else_asked_for(detected, hints, told):
    stage = staged(SERVER, transcription=Transcription("gpt-live-transcribe", **hints))
    stage.mend = lambda hypothesis: structs.replace(hypothesis, language=detected)
    assert last(stage.hear(say("alpha", 400)), m.TranscriptCompleted).languages == told


def test_a_turn_of_several_languages_tells_all_the_one_most_spoken_first():
    job = Job("item_1", 0, 0.25)
    for code, count in [("fr", 2), ("en", 5), ("fr", 1), (None, 9)]:
        job._note(Hypothesis((Token(" word"),) * count, language=code))
    job.transcript.add_final(Hypothesis((Token(" word"),)))
    assert job.languages("de") == ("en", "fr")


def test_the_probability_that_nobody_spoke_is_told_where_the_engine_knows_it():
    stage = staged(SERVER)
    stage.mend = lambda hypothesis: structs.replace(hypothesis, no_speech=0.25)
    assert last(stage.hear(say("alpha", 400)), m.TranscriptCompleted).no_speech == 0.25
    assert last(staged(SERVER).hear(say("alpha", 400)), m.TranscriptCompleted).no_speech is None


PROMPT = "Notes of the north gate meeting about small machines, bridges and the weather in spring."


@pytest.mark.parametrize("text", [PROMPT, f"{PROMPT} {PROMPT}", "Thank you. " * 30])
@pytest.mark.parametrize("detection", BOTH)
def test_what_an_engine_makes_up_for_a_bang_is_not_told(text, detection):
    """Neither early nor in the end; the item completes all the same."""
    stage = staged(detection, transcription=Transcription("scripted", prompt=PROMPT, delay="minimal"))
    stage.mend = lambda hypothesis: Hypothesis(tuple(Token(f" {word}", -0.1) for word in text.split()))
    stage.hear(say(200, "golf", 600))
    if detection is MANUAL:
        stage.give(m.CommitAudio()).answer_all()
    assert stage.requests(final=True)
    assert stage.transcripts() == (["Thank you."] if "Thank" in text else [""])


@pytest.mark.parametrize("detection", BOTH)
def test_who_reads_the_prompt_aloud_is_heard(detection):
    words = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot"]
    hints = {"prompt": " ".join(words), "keywords": ("golf", "hotel"), "language": "en"}
    stage = staged(detection, transcription=Transcription("scripted", **hints))
    stage.hear(say(200, *words, "golf", "hotel", 600))
    if detection is MANUAL:
        stage.give(m.CommitAudio()).answer_all()
    assert stage.transcripts() == [" ".join([*words, "golf", "hotel"])]


def test_what_led_the_engine_astray_is_left_out_when_it_is_asked_again():
    stage = staged(SERVER, transcription=Transcription("scripted", language="en", prompt="Просьба", keywords=("Харк",)))
    russian = Hypothesis((Token(" спасибо", -0.1), Token(" вам", -0.1)), draft=(1,))
    heard = iter([russian] * 9)
    stage.mend = lambda hypothesis: next(heard) if stage.requests(final=True)[-1].prompt else hypothesis
    stage.hear(say("alpha", 400))
    first, *_, again = stage.requests(final=True)
    assert (first.prompt, first.keywords, first.language) == ("Просьба", ("Харк",), "en")
    assert (again.prompt, again.keywords, again.language, again.draft) == (None, (), "en", ())
    assert stage.transcripts() == ["alpha"]
