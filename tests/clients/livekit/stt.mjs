// LiveKit's plugin in the ways that its recipe leaves out; what was heard in each goes out as JSON.
import fs from "node:fs";
import { initializeLogger, stt } from "@livekit/agents";
import { STT } from "@livekit/agents-plugin-openai";
import { AudioFrame } from "@livekit/rtc-node";

const { HARK_URL, HARK_KEY, HARK_FILE } = process.env;
const { FINAL_TRANSCRIPT, START_OF_SPEECH } = stt.SpeechEventType;
const wav = fs.readFileSync(HARK_FILE);
const rate = wav.readUInt32LE(24);
const samples = new Int16Array((wav.length - 44) / 2 + rate);
samples.set(new Int16Array(new Uint8Array(wav.subarray(44)).buffer));
const frames = [];
for (let at = 0; at < samples.length; at += rate / 20) {
  const part = samples.slice(at, at + rate / 20);
  frames.push(new AudioFrame(part, rate, 1, part.length));
}

const plugin = (options) => new STT({ baseURL: `${HARK_URL}/v1`, apiKey: HARK_KEY, ...options });

// As a room gives them, a frame every 50 ms and silence at the end, or all at once.
async function hear(options, live) {
  const stream = plugin(options).stream();
  let at = 0;
  const push = () => stream.pushFrame(frames[Math.min(at++, frames.length - 1)]);
  const clock = live ? setInterval(push, 50) : undefined;
  if (!live) frames.forEach(push);
  const told = { started: 0, finals: [] };
  for await (const event of stream) {
    told.started += event.type === START_OF_SPEECH;
    if (event.type === FINAL_TRANSCRIPT) told.finals.push(event.alternatives[0].text);
    if (/better/i.test(told.finals.at(-1) ?? "")) break;
  }
  clearInterval(clock);
  stream.close();
  return told;
}

const thrown = [];
process.on("uncaughtException", ({ message }) => thrown.push(message));
initializeLogger({ pretty: false, level: "warn" });
const told = {
  server: await hear({ model: "gpt-4o-transcribe", language: "en", noiseReductionType: "near_field" }, false),
  plugin: await hear({}, true),
  thrown,
  upload: (await plugin({ model: "whisper-1", useRealtime: false }).recognize(frames)).alternatives[0].text,
};
fs.writeSync(1, JSON.stringify(told));
process.exit();
