// The form of settings <-> what the server takes. Rule: the server validates; here is only what a form needs.
import { $, make } from "./dom.js";

export const VOICE_ACTIVITY = "hark.voice_activity";
// Sessions answer under these names and transcribe under none of them; gpt-realtime-whisper alone is different.
const SPEAKS = /^gpt-(4o-(mini-)?)?realtime(?!-whisper)/i;
const HYSTERESIS = 0.25; // docs/turns.md: a turn goes on down to the threshold less this
const MANUAL_THRESHOLD = 0.4;
const LANGUAGES = ("ar bg bn ca cs cy da de el en es et eu fa fi fr gl gu he hi hr hu hy id is it ja ka kk kn ko lt lv mk "
  + "ml mr ms nl no pa pl pt ro ru sk sl sq sr sv sw ta te th tl tr uk ur uz vi zh").split(" ");

const form = () => $("form").elements;

/** What the form says. */
export function read() {
  const { device, model, language, noise, detection, threshold, eagerness, transport } = form();
  const whole = (field) => Math.round(Number(field.value));
  return {
    device: device.value,
    model: model.value,
    language: language.value,
    noise: noise.value,
    detection: detection.value,
    threshold: Number(threshold.value),
    prefix_padding_ms: whole(form().prefix_padding_ms),
    silence_duration_ms: whole(form().silence_duration_ms),
    eagerness: eagerness.value,
    transport: transport.value,
  };
}

export const isValid = () => $("form").checkValidity();

export function turnDetection(settings) {
  const { threshold, prefix_padding_ms, silence_duration_ms, eagerness } = settings;
  if (settings.detection === "server_vad") return { type: "server_vad", threshold, prefix_padding_ms, silence_duration_ms };
  return settings.detection === "semantic_vad" ? { type: "semantic_vad", eagerness } : null;
}

/** The session object of the GA dialect. `rate`: of the audio that will be appended, none over WebRTC. */
export function sessionOf(settings, rate) {
  const input = {
    transcription: { ...(settings.model && { model: settings.model }), language: settings.language || null },
    noise_reduction: settings.noise ? { type: settings.noise } : null,
    turn_detection: turnDetection(settings),
  };
  if (rate) input.format = { type: "audio/pcm", rate };
  return { type: "transcription", audio: { input } };
}

/** The probabilities at which a turn starts and below which its silence counts. */
export function bounds(settings) {
  const start = { server_vad: settings.threshold, semantic_vad: 0.5, none: MANUAL_THRESHOLD }[settings.detection];
  return { start, end: settings.detection === "none" ? null : Math.max(start - HYSTERESIS, 0.01) };
}

/** Show what belongs to the choices made. */
export function refresh() {
  const settings = read();
  for (const part of document.querySelectorAll("[data-for]")) part.hidden = part.dataset.for !== settings.detection;
  $("threshold-shown").textContent = settings.threshold.toFixed(2);
  const { start, end } = bounds(settings);
  $("bounds").textContent = end === null ? `speech from ${start.toFixed(2)}`
    : `turn starts from ${start.toFixed(2)}, silence counts below ${end.toFixed(2)}`;
  return settings;
}

export function listLanguages() {
  const names = new Intl.DisplayNames(["en"], { type: "language" });
  const options = LANGUAGES.map((code) => [names.of(code), code]).sort(([a], [b]) => a.localeCompare(b, "en"));
  form().language.append(...options.map(([name, value]) => make("option", { value, text: name })));
}

/** The models that transcribe: this server's own first. */
export function listModels(models) {
  const names = models.filter(({ id }) => !SPEAKS.test(id));
  const groups = [
    ["On this server", names.filter((model) => model.owned_by === "hark")],
    ["By OpenAI's names", names.filter((model) => model.owned_by !== "hark")],
  ].filter(([, list]) => list.length);
  const before = form().model.value;
  form().model.replaceChildren(...groups.map(([label, list]) =>
    make("optgroup", { label }, ...list.map(({ id }) => make("option", { value: id, text: id })))));
  if (names.some(({ id }) => id === before)) form().model.value = before;
  form().model.disabled = names.length === 0;
}

/** The microphones there are; their names are known once one may be used. */
export async function listDevices() {
  if (!navigator.mediaDevices?.enumerateDevices) return;
  const devices = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === "audioinput" && device.deviceId);
  const before = form().device.value;
  const named = devices.filter((device) => device.deviceId !== "default");
  form().device.replaceChildren(make("option", { value: "", text: "Default" }), ...named.map((device, place) =>
    make("option", { value: device.deviceId, text: device.label || `Microphone ${place + 1}` })));
  if (named.some((device) => device.deviceId === before)) form().device.value = before;
}
