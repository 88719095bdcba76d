// The panel of code: programs that do what the page does, for the settings on screen. Each is complete and runs as it stands;
// tests run them. Keys come from the environment, never from the page.
import { $, copy } from "./dom.js";
import { here } from "./api.js";
import { formFor } from "./files.js";
import { sessionOf } from "./settings.js";
import * as templates from "./templates.js";

let settings = null;
let keyed = false;

const chosen = () => document.querySelector("[name=code]:checked").value;

/** What the panel says of these settings, in one of its languages. */
function write(language) {
  const server = here("").replace(/\/$/, "");
  const form = formFor(settings);
  return templates[language]({ server, session: sessionOf(settings), form, keyed, overWebRTC: settings.transport === "webrtc" });
}

function draw() {
  if (!settings || !$("code").open) return;
  const { note, text } = write(chosen());
  $("code-note").textContent = note;
  $("code-text").textContent = text;
}

export function refreshCode(now, wantsKey) {
  settings = now;
  keyed = wantsKey;
  draw();
}

export function wireCode() {
  $("code").addEventListener("toggle", draw);
  $("code").addEventListener("change", draw);
  $("code-copy").addEventListener("click", () => copy($("code-text").textContent, $("code-copy")));
}
