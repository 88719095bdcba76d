// The few helpers that every part of the page uses. Text is put in as text: nothing here parses markup.

export const $ = (id) => document.getElementById(id);

/** An element with properties (`class`, `text`, `on…`, anything else an attribute) and children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** "1:02.3" of milliseconds on the audio clock. */
export function clock(ms) {
  const tenths = Math.max(0, Math.round(ms / 100));
  const seconds = (tenths % 600) / 10;
  return `${Math.floor(tenths / 600)}:${seconds.toFixed(1).padStart(4, "0")}`;
}

export function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** Say something to screen readers alone. */
export function tell(text) {
  $("told").textContent = "";
  requestAnimationFrame(() => { $("told").textContent = text; });
}

/** Copy, and show on the button that it was done. */
export async function copy(text, button) {
  const label = button.textContent;
  try {
    await writeClipboard(text);
    button.textContent = "Copied";
    tell("Copied.");
  } catch {
    button.textContent = "Could not copy";
    tell("The browser did not let the page copy.");
  }
  setTimeout(() => { button.textContent = label; }, 1500);
}

async function writeClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Browsers offer the clipboard to secure contexts alone; this older way works on plain http too.
  const area = make("textarea", { class: "unseen", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("not copied");
}

export function save(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
