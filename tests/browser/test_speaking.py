"""Speaking into the page: the right words, as they are said, in every mode of turns and over both transports."""

import re

from playwright.sync_api import expect

from listening import BECKETT, error_rate, turns_of


def check_words(screen):
    assert error_rate(BECKETT, turns_of([{"item_id": "item", "transcript": screen.text}])) <= 0.25, screen.turns


def test_words_settle_as_one_speaks(open_page, transport):
    screen = open_page()
    screen.choose("WebRTC" if transport == "webrtc" else "WebSocket")
    screen.start()
    screen.present(r"\w+")
    screen.wait_for_turns(6)
    screen.stop()
    check_words(screen)
    assert len(screen.turns) == 6
    times = screen["#log time"].all_inner_texts()
    assert [re.fullmatch(r"0:\d\d\.\d", time) is not None for time in times] == [True] * 6
    assert times == sorted(times)
    assert all(re.fullmatch(r"\d+ ms|\d\.\d s", took) for took in screen["#log .took"].all_inner_texts())
    assert screen["#log .took"].count() == 6
    expect(screen["#present li"]).to_have_count(0)


def test_one_sees_why_turns_began_and_ended(open_page):
    screen = open_page().start()
    screen.wait_for_turns(2)
    screen.stop()
    voice, level, edges = screen.drawn("--voice", "--level", "--accent")
    assert voice > 200
    assert level > 500
    assert edges > 200


def test_semantic_turns(open_page):
    screen = open_page()
    screen.choose("semantic_vad")
    screen.page.get_by_label("Eagerness").select_option("high")
    screen.start()
    screen.wait_for_turns(2)
    screen.open("events")
    screen["#event-filter"].fill("semantic_vad")
    screen.listed("session.created", 1)
    screen["#event-filter"].fill("")
    screen.stop()
    assert "failed" in screen.text.lower()


def test_turns_that_the_speaker_ends(open_page, short):
    screen = open_page(short)
    screen.choose("when you say so")
    screen.start()
    screen.present("tried.*failed")
    screen.button("End the turn").click()
    screen.wait_for_turns(1)
    assert re.search(r"tried\W+ever failed", screen.text, re.IGNORECASE)
    screen.open("events")
    screen.listed("input_audio_buffer.commit", 1)
    screen.listed("input_audio_buffer.speech_started", 0)
    screen.stop()


def test_stopping_finishes_the_last_turn(open_page, short):
    screen = open_page(short)
    screen.choose("when you say so")
    screen.start()
    screen.present("failed")
    screen.stop()
    assert len(screen.turns) == 1
    assert "failed" in screen.text.lower()
    assert screen["#log .failed"].count() == 0


def test_settings_apply_while_one_speaks(open_page):
    screen = open_page().start()
    screen.wait_for_turns(1)
    screen.choose("when you say so")
    expect(screen["#applied"]).to_have_text("Applied")
    expect(screen.button("End the turn")).to_be_visible()
    screen.page.get_by_label("Noise reduction").select_option("near_field")
    screen.page.get_by_label("Language", exact=True).select_option("en")
    screen.open("events")
    screen["#event-filter"].fill('"language":"en"')
    expect(screen["#event-list li.got"]).to_have_count(1)
    shown = screen["#event-list li.got"]
    shown.locator("summary").click()
    for part in ('"turn_detection": null', '"type": "near_field"', '"hark.voice_activity"'):
        expect(shown).to_contain_text(part)
    screen.stop()


def test_starting_again_begins_a_new_clock(open_page, short):
    screen = open_page(short).start()
    screen.wait_for_turns(1)
    screen.stop()
    screen.start()
    screen.stop()
    expect(screen["#log section h3"]).to_have_count(2)
    screen.button("Clear all").click()
    expect(screen["#log section"]).to_have_count(0)
    expect(screen["#empty"]).to_be_visible()
