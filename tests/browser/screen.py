"""What a person sees and does on the page, and what its browser complains of."""

import re

from playwright.sync_api import expect

PATIENCE_MS = 30_000
REAL = {"model": "moonshine-tiny-en", "voice_model": "silero-vad"}
_VIOLATIONS = """
  window.violations = [];
  addEventListener("securitypolicyviolation", (event) => {
    violations.push(`${event.violatedDirective} ${event.blockedURI}`);
  });
"""


class Screen:
    """`excused`: what the console may say here, as regular expressions."""

    def __init__(self, page, url):
        self.page, self.complaints, self.excused = page, [], []
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(_VIOLATIONS)
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"thrown: {error}"))
        page.goto(url)

    def check(self):
        """Nothing was complained of that was not excused."""
        if self.page.is_closed():
            return
        told = [text for text in self.complaints if not any(re.search(pattern, text) for pattern in self.excused)]
        assert told == []
        assert self.page.evaluate("window.violations") == []

    def __getitem__(self, selector):
        return self.page.locator(selector)

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def choose(self, name):
        self.page.get_by_role("radio", name=re.compile(name)).check()

    def start(self):
        self.button("Start listening").click()
        self.wait_for_state("listening")
        return self

    def stop(self):
        self.button("Stop").click()
        self.wait_for_state("idle")

    def wait_for_state(self, state):
        expect(self["#status"]).to_have_attribute("data-state", state, timeout=PATIENCE_MS)

    def wait_for_turns(self, count):
        expect(self["#log .line:not(.nothing) .words"].nth(count - 1)).to_be_visible(timeout=PATIENCE_MS)

    @property
    def turns(self):
        """The words of the finished turns that have any."""
        return self["#log .line:not(.nothing, .failed) .words"].all_inner_texts()

    @property
    def text(self):
        return " ".join(self.turns)

    def present(self, words):
        """Wait until the turn in progress says so."""
        expect(self["#present .words"].first).to_contain_text(re.compile(words, re.IGNORECASE), timeout=PATIENCE_MS)

    def notice(self, words):
        expect(self["#notices .notice"].filter(has_text=re.compile(words))).to_be_visible(timeout=PATIENCE_MS)

    def open(self, panel):
        self[f"#{panel} > summary"].click()

    def listed(self, kind, count):
        """The panel of events shows this type so often."""
        rows = self["#event-list summary > span:nth-child(3)"]
        expect(rows.filter(has_text=re.compile(rf"^{re.escape(kind)}$"))).to_have_count(count)

    def drawn(self, *colours):
        """How many points of the meter have each of these colours of the page."""
        return self.page.evaluate(
            """(names) => {
              const canvas = document.getElementById("meter");
              const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
              const style = getComputedStyle(document.documentElement);
              return names.map((name) => {
                const wanted = style.getPropertyValue(name).match(/[0-9a-f]{2}/g).map((part) => parseInt(part, 16));
                let found = 0;
                for (let at = 0; at < data.length; at += 4) {
                  const apart = wanted.reduce((sum, part, place) => sum + Math.abs(part - data[at + place]), 0);
                  if (apart < 12 && data[at + 3] > 200) found += 1;
                }
                return found;
              });
            }""",
            colours,
        )
