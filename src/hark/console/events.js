// The panel of raw events, both directions. Rule: all are kept up to a bound, few are on the page; audio is shown by its
// size, so that what is copied can be read.
import { $, copy, make } from "./dom.js";

const KEPT = 3_000;
const SHOWN = 400;
const NOISE = new Set(["input_audio_buffer.append", "hark.voice_activity"]);

let events = [];
let paused = false;
let began = null;

export function record(direction, event) {
  began ??= performance.now();
  const at = (performance.now() - began) / 1000;
  const shown = typeof event.audio === "string" ? { ...event, audio: `${event.audio.length} characters of base64` } : event;
  const entry = { at, direction, event: shown, text: JSON.stringify(shown) };
  events.push(entry);
  if (events.length > KEPT) events = events.slice(-KEPT);
  if (!paused && $("events").open && matches(entry)) append(entry);
  if (!paused) count();
}

function matches({ event, text }) {
  if (NOISE.has(event.type) && !$("event-noise").checked) return false;
  const wanted = $("event-filter").value.trim().toLowerCase();
  return !wanted || text.toLowerCase().includes(wanted);
}

function append(entry) {
  const list = $("event-list");
  const following = list.scrollTop + list.clientHeight >= list.scrollHeight - 30;
  list.append(row(entry));
  while (list.children.length > SHOWN) list.firstElementChild.remove();
  if (following) list.scrollTop = list.scrollHeight;
}

function row({ at, direction, event, text }) {
  const sent = direction === "sent";
  const body = make("pre");
  const details = make("details", { ontoggle: () => { body.textContent ||= JSON.stringify(event, null, 2); } },
    make("summary", {},
      make("time", { text: at.toFixed(2).padStart(7) }),
      make("b", { text: sent ? "↑" : "↓", title: sent ? "sent" : "received", role: "img", "aria-label": sent ? "sent" : "received" }),
      make("span", { text: event.type }),
      make("span", { text: gist(event, text), "aria-hidden": "true" })),
    body);
  return make("li", { class: `${direction} ${event.type === "error" ? "error" : ""}` }, details);
}

/** A few words of what is in it. */
function gist(event) {
  const { delta, transcript, audio, audio_start_ms, audio_end_ms, error, probabilities } = event;
  return delta ?? transcript ?? audio ?? error?.message ?? probabilities?.join(" ")
    ?? (audio_end_ms ?? audio_start_ms)?.toString().concat(" ms") ?? "";
}

function redraw() {
  const list = $("event-list");
  list.replaceChildren(...events.filter(matches).slice(-SHOWN).map(row));
  list.scrollTop = list.scrollHeight;
  count();
}

function count() {
  const quiet = events.filter(({ event }) => !NOISE.has(event.type)).length;
  $("event-count").textContent = events.length ? `${quiet}${paused ? ", paused" : ""}` : "";
}

export function wireEvents() {
  $("event-filter").addEventListener("input", redraw);
  $("event-noise").addEventListener("change", redraw);
  $("events").addEventListener("toggle", redraw);
  $("event-clear").addEventListener("click", () => {
    events = [];
    redraw();
  });
  $("event-pause").addEventListener("click", () => {
    paused = !paused;
    $("event-pause").setAttribute("aria-pressed", String(paused));
    $("event-pause").textContent = paused ? "Go on" : "Pause";
    if (paused) count();
    else redraw();
  });
  $("event-copy").addEventListener("click", () => {
    const lines = events.filter(matches).map(({ at, direction, text }) =>
      `{"at":${at.toFixed(3)},"direction":"${direction}","event":${text}}\n`);
    copy(lines.join(""), $("event-copy"));
  });
}
