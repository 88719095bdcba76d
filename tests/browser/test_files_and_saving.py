"""Files: dropped or chosen, transcribed with progress, and saved in every form."""

import base64
import json
import re

import pytest
from playwright.sync_api import expect

from listening import BECKETT, error_rate, turns_of

DROP = """async ([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "audio/wav" }));
  for (const type of ["dragenter", "dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
    await new Promise(requestAnimationFrame);
    const marked = document.body.classList.contains("dropping");
    if (type === "dragover" && !marked) throw new Error("nothing shows where to drop");
  }
}"""


def check_words(text):
    assert error_rate(BECKETT, turns_of([{"item_id": "item", "transcript": text}])) <= 0.25, text


def saved(screen, form):
    with screen.page.expect_download() as waiting:
        screen["#log button"].filter(has_text=re.compile(f"^{form}$")).click()
    return waiting.value.suggested_filename, waiting.value.path().read_text("utf-8")


def finished(screen):
    expect(screen["progress"]).to_have_count(0, timeout=30_000)


def test_a_dropped_file_is_transcribed_and_can_be_saved(open_page, beckett):
    screen = open_page()
    screen.page.evaluate(DROP, ["My talk.wav", base64.b64encode(beckett.read_bytes()).decode()])
    screen.wait_for_turns(1)
    finished(screen)
    expect(screen["body.dropping"]).to_have_count(0)
    expect(screen["#log h3"]).to_have_text("My talk.wav")
    check_words(screen.text)
    turns = screen.turns
    name, text = saved(screen, "TXT")
    assert (name, text.splitlines()) == ("my-talk.txt", turns)
    _, srt = saved(screen, "SRT")
    blocks = srt.strip().split("\n\n")
    times = r"(\d\d:\d\d:\d\d,\d{3}) --> (\d\d:\d\d:\d\d,\d{3})"
    cues = [re.fullmatch(rf"{number}\n{times}\n(.+)", block) for number, block in enumerate(blocks, 1)]
    assert [cue[3] for cue in cues] == turns
    clocks = [clock for cue in cues for clock in (cue[1], cue[2])]
    assert clocks == sorted(clocks)
    _, vtt = saved(screen, "VTT")
    assert vtt.startswith("WEBVTT\n\n00:00:0")
    assert [line for line in vtt.splitlines() if line in turns] == turns
    _, told = saved(screen, "JSON")
    told = json.loads(told)
    assert told["text"] == " ".join(turns)
    assert [turn["text"] for turn in told["turns"]] == turns
    assert all(0 <= turn["start"] < turn["end"] <= 11 for turn in told["turns"])


@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe", "gpt-4o-transcribe-diarize", "gpt-transcribe"])
def test_every_model_name_takes_files(open_page, beckett, model):
    """The forms of answer differ by name: one does not stream, one has no times, one has speakers."""
    screen = open_page()
    screen.page.get_by_label("Model").select_option(model)
    screen.page.get_by_label("Transcribe a file").set_input_files(beckett)
    screen.wait_for_turns(1)
    finished(screen)
    check_words(screen.text)
    _, srt = saved(screen, "SRT")
    assert srt.startswith("1\n00:00:0")


def test_several_files_come_in_order(open_page, beckett, short):
    screen = open_page()
    screen.page.get_by_label("Transcribe a file").set_input_files([beckett, short])
    expect(screen["#log h3"]).to_have_text(["beckett.wav", "short.wav"])
    expect(screen["#told"]).to_have_text("short.wav is transcribed.")


def test_what_is_no_audio_is_explained(open_page, tmp_path):
    screen = open_page()
    screen.excused = ["status of 400"]
    other = tmp_path / "notes.txt"
    other.write_text("no audio")
    screen.page.get_by_label("Transcribe a file").set_input_files(other)
    screen.notice("notes.txt: .*[Ff]ormat")
    expect(screen["#log section"]).to_have_count(0)


def test_what_was_spoken_can_be_saved_and_copied(open_page, short):
    screen = open_page(short).start()
    screen.wait_for_turns(2)
    screen.stop()
    name, text = saved(screen, "TXT")
    assert re.fullmatch(r"microphone-\d\d-\d\d-\d\d\.txt", name)
    assert text.splitlines() == screen.turns
    _, told = saved(screen, "JSON")
    assert all(turn["latency_ms"] >= 0 for turn in json.loads(told)["turns"])
    screen.button("Copy turn 2").click()
    expect(screen.button("Copy turn 2")).to_have_text("Copied")
    assert screen.page.evaluate("navigator.clipboard.readText()") == screen.turns[1]
    screen.button("Copy all").click()
    assert screen.page.evaluate("navigator.clipboard.readText()") == text
