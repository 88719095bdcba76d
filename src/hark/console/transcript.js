// The transcript on screen. Rule: a turn stands in the list below, which no screen reader reads out, while words are added;
// once finished it moves to the log, which is read out whole, once.
import { $, clock, copy, duration, make, save } from "./dom.js";
import { FORMS, fileName } from "./exports.js";

const FOLLOW_PX = 120; // nearer to the end than this, the page follows the words
const lines = new Map(); // turn -> its element while it is open
let groups = [];

/** A place for a recording's turns, with its buttons. */
export function addRecording(recording) {
  const list = make("ol");
  const buttons = Object.entries(FORMS).map(([name, { type, write }]) => make("button", {
    type: "button", class: "quiet", text: name, "aria-label": `Save ${recording.name} as ${name}`,
    onclick: () => save(fileName(recording, name), write(recording), type),
  }));
  const all = make("button", {
    type: "button", class: "quiet", text: "Copy all", onclick: () => copy(FORMS.TXT.write(recording), all),
  });
  const tools = make("span", { hidden: true }, all, ...buttons);
  const head = make("div", { class: "group-head" }, make("h3", { text: recording.name }), tools);
  const group = make("section", { "aria-label": recording.name }, head, list);
  groups.push({ recording, group, list, tools });
  $("log").append(group);
  $("empty").hidden = true;
  $("forget").hidden = false;
  return group;
}

export function forgetAll(keep) {
  for (const { recording, group } of groups) if (recording !== keep) group.remove();
  groups = groups.filter(({ recording }) => recording === keep);
  for (const { list } of groups) list.replaceChildren();
  if (keep) keep.turns = [];
  $("empty").hidden = groups.length > 0;
  $("forget").hidden = groups.length === 0;
}

/** Show what became of a turn. */
export function show(recording, { turn, finished }) {
  const following = innerHeight + scrollY >= document.documentElement.scrollHeight - FOLLOW_PX;
  if (finished) settle(recording, turn);
  else showOpen(turn);
  if (following && $("transcript").getBoundingClientRect().bottom > innerHeight) scrollTo({ top: document.documentElement.scrollHeight });
}

function showOpen(turn) {
  let line = lines.get(turn);
  if (!line) {
    line = make("li", {}, make("time"), make("p", { class: "words" }), make("span"));
    lines.set(turn, line);
    $("present").append(line);
  }
  line.className = `line ${turn.ended_at === null ? "speaking" : "waiting"}`;
  line.children[0].textContent = turn.start_ms === null ? "" : clock(turn.start_ms);
  line.children[1].textContent = turn.text;
}

function settle(recording, turn) {
  lines.get(turn)?.remove();
  lines.delete(turn);
  const place = groups.find((group) => group.recording === recording);
  if (!place) return;
  const text = turn.outcome === "failed" ? turn.text : turn.text || "No words in this turn.";
  const kind = turn.outcome === "failed" ? "failed" : turn.text ? "" : "nothing";
  const why = turn.outcome === "failed" ? make("small", { text: turn.text ? `… ${turn.why}` : turn.why }) : "";
  const side = make("span", { class: "side" });
  if (turn.outcome === "completed" && turn.text) {
    const button = make("button", {
      type: "button", class: "quiet copy", text: "Copy", "aria-label": `Copy turn ${turn.number}`, onclick: () => copy(turn.text, button),
    });
    side.append(button);
    place.tools.hidden = false;
  }
  if (turn.latency_ms !== null) {
    const title = "From the end of the turn to its transcript";
    side.append(make("span", { class: "took", text: duration(turn.latency_ms), title }));
  }
  const start = turn.start_ms === null ? "" : clock(turn.start_ms);
  const span = turn.end_ms === null ? "" : `${start} to ${clock(turn.end_ms)} on the audio clock`;
  place.list.append(make("li", { class: `line ${kind}` }, make("time", { text: start, title: span }), make("p", { class: "words", text }, why), side));
}
