"""For everybody: by keyboard alone, with a screen reader, in light and dark, on a phone, without motion."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

AXE = Path(__file__).parent / "node" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PHONE = {"width": 390, "height": 844}


def faults(screen):
    """What axe-core finds. It goes in past the page's own policy, as an extension would."""
    assert AXE.exists(), "axe-core is not there: run make test-browser."
    screen.page.evaluate(AXE.read_text("utf-8"))
    found = screen.page.evaluate("(tags) => axe.run({ runOnly: tags })", RULES)
    return [(it["id"], it["help"], [node["html"] for node in it["nodes"]]) for it in found["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 860}, PHONE], ids=["desk", "phone"])
def test_axe_finds_no_fault(open_page, short, scheme, viewport):
    screen = open_page(short, viewport=viewport, color_scheme=scheme)
    expect(screen.page.get_by_label("Model")).to_be_attached()
    assert faults(screen) == []
    screen.start()
    screen.present(r"\w")
    assert faults(screen) == []
    screen.wait_for_turns(1)
    for panel in ("events", "code"):
        screen.open(panel)
    if viewport == PHONE:
        screen.open("settings")
    screen.choose("semantic_vad")
    screen.stop()
    assert faults(screen) == []


def test_axe_finds_no_fault_where_something_is_wrong(open_page):
    screen = open_page(options={"api_key": "sk-browser-0123456789"})
    screen.notice("asks for a key")
    assert faults(screen) == []
    screen.button("Enter key").click()
    assert faults(screen) == []


@pytest.mark.parametrize("width", [320, 390, 768, 1024])
def test_nothing_is_cut_off_on_small_screens(open_page, short, width):
    screen = open_page(short, viewport={"width": width, "height": 844})
    screen.page.get_by_label("Transcribe a file").set_input_files(short)
    screen.wait_for_turns(1)
    for panel in ("events", "code"):
        screen.open(panel)
    assert screen.page.evaluate("document.documentElement.scrollWidth") == width
    for button in screen["button:visible"].all():
        box = button.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_by_keyboard_alone(open_page, short):
    """Tab, Space, Enter and arrows: from the top of the page to a transcript, its text copied, the events read."""
    screen = open_page(short)
    keyboard = screen.page.keyboard
    focused = screen.page.locator(":focus")

    def tab_to(selector, most=40):
        for _ in range(most):
            keyboard.press("Tab")
            if focused.count() and focused.evaluate("(element, selector) => element.matches(selector)", selector):
                return
        raise AssertionError(f"{selector} cannot be reached by keyboard")

    tab_to(".skip")
    expect(focused).to_be_in_viewport()
    tab_to("#toggle")
    outline = focused.evaluate("(element) => getComputedStyle(element).outlineStyle")
    assert outline != "none"
    tab_to("[name=detection]")
    keyboard.press("ArrowDown")
    keyboard.press("ArrowDown")
    expect(screen["[data-for=none]"]).to_be_visible()
    for _ in range(40):
        keyboard.press("Shift+Tab")
        if focused.evaluate("(element) => element.id") == "toggle":
            break
    keyboard.press("Enter")
    screen.wait_for_state("listening")
    screen.present("failed")
    tab_to("#commit")
    keyboard.press("Space")
    screen.wait_for_turns(1)
    keyboard.press("Shift+Tab")
    keyboard.press("Space")
    screen.wait_for_state("idle")
    tab_to(".copy")
    expect(focused).to_have_css("opacity", "1")
    keyboard.press("Enter")
    assert screen.page.evaluate("navigator.clipboard.readText()") == screen.turns[0]
    tab_to("#events > summary")
    keyboard.press("Enter")
    tab_to("#event-list summary")
    keyboard.press("Enter")
    expect(screen["#event-list pre"].first).to_contain_text("session.created")


def test_a_screen_reader_hears_each_turn_once_and_whole(open_page, short):
    """Words that settle one by one would be read as noise: turns enter the live region when they are finished."""
    screen = open_page(short)
    screen.page.evaluate(
        """() => {
          window.heard = [];
          const region = document.getElementById("log");
          new MutationObserver((changes) => {
            for (const change of changes) for (const node of change.addedNodes)
              if (node.matches?.(".line")) heard.push(node.querySelector(".words").textContent);
          }).observe(region, { childList: true, subtree: true });
        }"""
    )
    assert screen["#log"].get_attribute("role") == "log"
    assert screen["#present"].get_attribute("aria-live") == "off"
    screen.start()
    screen.wait_for_turns(2)
    screen.stop()
    assert screen.page.evaluate("heard") == screen["#log .words"].all_inner_texts()


def test_without_motion_where_it_is_not_wanted(open_page, short):
    screen = open_page(short, reduced_motion="reduce").start()
    screen.present(r"\w")
    mark = "getComputedStyle(document.querySelector('#present .words'), '::after').animationName"
    assert screen.page.evaluate(mark) == "none"
    screen.wait_for_turns(1)
    screen.stop()
    assert screen.drawn("--voice")[0] > 50
