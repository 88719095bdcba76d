// Uploads by openai-node: every form of answer, every stream.
import fs from "node:fs";
import { toFile } from "openai";
import { answer, file, newClient, path } from "./client.mjs";

const strategy = { type: "server_vad", threshold: 0.4, prefix_padding_ms: 200, silence_duration_ms: 300 };
const diarize = { model: "gpt-4o-transcribe-diarize", chunking_strategy: "auto", response_format: "diarized_json" };
const verbose = { model: "whisper-1", response_format: "verbose_json" };
const asked = {
  json: { model: "whisper-1" },
  hints: { model: "gpt-4o-transcribe", language: "en", prompt: "Beckett", temperature: 0.2 },
  logprobs: { model: "gpt-4o-mini-transcribe", include: ["logprobs"] },
  strategy: { model: "gpt-4o-transcribe", chunking_strategy: strategy },
  lists: { model: "gpt-transcribe", languages: ["en", "fr"], keywords: ["fail", "better"] },
  text: { model: "whisper-1", response_format: "text" },
  srt: { model: "whisper-1", response_format: "srt" },
  vtt: { model: "whisper-1", response_format: "vtt" },
  words: { ...verbose, timestamp_granularities: ["word"] },
  segments: { ...verbose, timestamp_granularities: ["segment"] },
  both: { ...verbose, timestamp_granularities: ["word", "segment"] },
  diarized: diarize,
};
const streamed = {
  json: { model: "gpt-4o-transcribe" },
  logprobs: { model: "gpt-4o-mini-transcribe", include: ["logprobs"] },
  lists: { model: "gpt-transcribe", languages: ["en"], keywords: ["fail"] },
  strategy: { model: "gpt-4o-transcribe", chunking_strategy: strategy },
  diarized: diarize,
};

const uploads = newClient().audio.transcriptions;
const told = { answers: {}, streams: {}, files: {} };
for (const [name, options] of Object.entries(asked)) {
  told.answers[name] = await uploads.create({ file: file(), ...options });
}
for (const [name, options] of Object.entries(streamed)) {
  told.streams[name] = [];
  for await (const event of await uploads.create({ file: file(), stream: true, ...options })) {
    told.streams[name].push(event);
  }
}
const bytes = fs.readFileSync(path);
const kept = { File: new File([bytes], "speech.wav"), toFile: await toFile(bytes, "speech.wav") };
for (const [name, given] of Object.entries(kept)) {
  told.files[name] = await uploads.create({ file: given, model: "gpt-4o-transcribe" });
}
const { data, response } = await uploads.create({ file: file(), model: "whisper-1" }).withResponse();
told.files.withResponse = { ...data, status: response.status };
answer(told);
