// Files -> transcripts, by POST /v1/audio/transcriptions: chosen or dropped, one after another. Rule: words are shown as the
// server sends them, with times wherever the model's name has a form of answer with times.
import { anySecret, ApiError, here, refusal, UNREACHABLE } from "./api.js";
import { $, clock, make, tell } from "./dom.js";
import { read, turnDetection } from "./settings.js";
import { addRecording, show } from "./transcript.js";
import { Recording } from "./turns.js";

const waiting = [];
let busy = false;

/** Transcribe these, in order; `onProblem(error, file, again)` is told what did not work. */
export function transcribe(files, onProblem) {
  waiting.push(...files);
  if (!busy) work(onProblem);
}

async function work(onProblem) {
  busy = true;
  for (let file = waiting.shift(); file; file = waiting.shift()) {
    const recording = new Recording(file.name || "Recording");
    const group = addRecording(recording);
    const progress = new Progress(group, file.name);
    try {
      await upload(file, recording, progress);
      tell(`${file.name} is transcribed.`);
      if (!recording.turns.length) group.append(make("p", { class: "hint", text: "No words in this file." }));
    } catch (error) {
      group.remove();
      onProblem(error, file, () => transcribe([file], onProblem));
    }
    progress.remove();
  }
  busy = false;
}

class Progress {
  constructor(group, name) {
    this.text = make("span", { class: "hint", text: "Sending …" });
    this.bar = make("progress", { max: "1", "aria-label": `Progress of ${name}` });
    this.cancel = make("button", { type: "button", class: "quiet", text: "Cancel", onclick: () => this.request?.abort() });
    this.element = make("div", {}, make("div", { class: "bar" }, this.text, this.cancel), this.bar);
    group.append(this.element);
  }

  sent(share) {
    this.bar.value = share;
    this.text.textContent = share < 1 ? `Sending: ${Math.round(share * 100)} %` : "Transcribing …";
    if (share >= 1) this.bar.removeAttribute("value");
  }

  heard(ms, whole_ms) {
    if (whole_ms) this.bar.value = Math.min(1, ms / whole_ms);
    this.text.textContent = `Transcribed up to ${clock(ms)}${whole_ms ? ` of ${clock(whole_ms)}` : ""}`;
  }

  remove() {
    this.element.remove();
  }
}

/** How to ask, by the name of the model: whisper-1 does not stream, and the gpt-4o names tell no times (docs/rest.md). */
export function formFor(settings) {
  const { model, language } = settings;
  const turns = turnDetection(settings);
  const form = [["model", model || "whisper-1"]];
  if (language) form.push(["language", language]);
  if (turns?.type === "server_vad") form.push(["chunking_strategy", JSON.stringify(turns)]);
  else form.push(["chunking_strategy", "auto"]);
  if (!model || model === "whisper-1") return [...form, ["response_format", "verbose_json"]];
  const timed = !model.startsWith("gpt-4o") || model.endsWith("-diarize");
  return [...form, ["response_format", timed ? "diarized_json" : "json"], ["stream", "true"]];
}

async function upload(file, recording, progress) {
  const body = new FormData();
  for (const [name, value] of formFor(read())) body.append(name, value);
  body.append("file", file);
  const whole_ms = await lengthOf(file);
  const secret = await anySecret();
  const reader = new Reader(recording, progress, whole_ms);
  const request = new XMLHttpRequest(); // fetch tells nothing of what has been sent
  progress.request = request;
  request.open("POST", here("v1/audio/transcriptions"));
  request.setRequestHeader("authorization", `Bearer ${secret}`);
  await new Promise((resolve, reject) => {
    request.upload.onprogress = (event) => progress.sent(event.loaded / event.total);
    request.upload.onload = () => progress.sent(1);
    request.onprogress = () => {
      if (request.status === 200) reader.read(request.responseText, request.getResponseHeader("content-type"));
    };
    request.onload = resolve;
    request.onabort = () => reject(new ApiError("Cancelled.", { code: "cancelled" }));
    request.onerror = () => reject(new ApiError(UNREACHABLE, { code: "unreachable" }));
    request.send(body);
  });
  if (request.status !== 200) throw refusal(request.status, request.responseText, request.getResponseHeader("retry-after"));
  reader.read(request.responseText, request.getResponseHeader("content-type"));
  reader.end(request.responseText);
}

/** An answer, streamed or not, as turns. */
class Reader {
  at = 0;
  text = "";
  segments = 0;

  constructor(recording, progress, whole_ms) {
    Object.assign(this, { recording, progress, whole_ms });
  }

  read(answer, type) {
    this.streamed = type.startsWith("text/event-stream");
    if (!this.streamed) return;
    for (let end = answer.indexOf("\n\n", this.at); end >= 0; end = answer.indexOf("\n\n", this.at)) {
      const data = answer.slice(this.at, end).replace(/^data: /, "");
      this.at = end + 2;
      if (data !== "[DONE]") this.frame(JSON.parse(data));
    }
  }

  frame(frame) {
    if (frame.error) throw new ApiError(frame.error.message, { code: frame.error.code });
    if (frame.type === "transcript.text.segment") this.segment(frame);
    if (frame.type === "transcript.text.delta") {
      this.text += frame.delta;
      this.progress.text.textContent = this.text.slice(-80);
    }
  }

  end(answer) {
    if (!this.streamed) {
      const { text, segments } = JSON.parse(answer);
      this.text = text;
      for (const segment of segments ?? []) this.segment(segment);
    }
    if (!this.segments && this.text.trim()) this.segment({ start: 0, end: (this.whole_ms ?? 0) / 1000, text: this.text });
  }

  segment({ start, end, text }) {
    const item_id = `segment_${(this.segments += 1)}`;
    const [start_ms, end_ms] = [Math.round(start * 1000), Math.round(end * 1000)];
    const type = "conversation.item.input_audio_transcription.completed";
    show(this.recording, this.recording.take({ type, item_id, transcript: text, start_ms, end_ms }, 0));
    this.progress.heard(end_ms, this.whole_ms);
  }
}

/** Milliseconds, if the browser can tell. */
function lengthOf(file) {
  return new Promise((resolve) => {
    const url = URL.createObjectURL(file);
    const audio = new Audio();
    const told = (ms) => {
      clearTimeout(timer);
      URL.revokeObjectURL(url);
      resolve(Number.isFinite(ms) ? ms : null);
    };
    const timer = setTimeout(() => told(NaN), 3_000);
    audio.onloadedmetadata = () => told(audio.duration * 1000);
    audio.onerror = () => told(NaN);
    audio.preload = "metadata";
    audio.src = url;
  });
}

export function wireFiles(onProblem) {
  $("file").addEventListener("change", () => {
    transcribe([...$("file").files], onProblem);
    $("file").value = "";
  });
  let inside = 0;
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (change) => {
    inside = Math.max(0, inside + change);
    document.body.classList.toggle("dropping", inside > 0);
  };
  addEventListener("dragenter", (event) => holdsFiles(event) && mark(1));
  addEventListener("dragleave", (event) => holdsFiles(event) && mark(-1));
  addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    mark(-Infinity);
    transcribe([...event.dataTransfer.files], onProblem);
  });
}
