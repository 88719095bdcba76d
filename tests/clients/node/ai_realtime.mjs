// The AI SDK's realtime model: a token for a browser, its socket, and events by way of its mapper.
import { createOpenAI } from "@ai-sdk/openai";
import { answer, key, parts, rate, url } from "./client.mjs";

const hark = createOpenAI({ baseURL: `${url}/v1`, apiKey: key });
const model = hark.experimental_realtime("gpt-realtime");
const config = {
  inputAudioFormat: { type: "audio/pcm", rate: rate() },
  inputAudioTranscription: { model: "gpt-4o-transcribe", language: "en" },
  turnDetection: { type: "server-vad", silenceDurationMs: 300 },
};
const { token, url: address, expiresAt } = await hark.experimental_realtime.getToken({ model: "gpt-realtime", sessionConfig: config });
const { url: at, protocols } = model.getWebSocketConfig({ token, url: address });
const told = { token, expiresAt, address, events: [], said: [] };

const socket = new WebSocket(at, protocols);
const send = (event) => socket.send(JSON.stringify(model.serializeClientEvent(event)));
await new Promise((resolve, reject) => {
  socket.onerror = () => reject(new Error("socket error"));
  socket.onclose = ({ code, reason }) => reject(new Error(`${code} ${reason}`));
  socket.onopen = () => {
    send({ type: "session-update", config });
    for (const part of parts()) send({ type: "input-audio-append", audio: part.toString("base64") });
  };
  socket.onmessage = ({ data }) => {
    const event = model.parseServerEvent(JSON.parse(data));
    told.events.push(event.type);
    if (event.type === "error") reject(new Error(event.message));
    if (event.type === "input-transcription-completed") told.said.push(event.transcript);
    if (/better/i.test(event.transcript ?? "")) resolve();
  };
});
socket.onclose = ({ code }) => answer({ ...told, code });
socket.close(1000);
