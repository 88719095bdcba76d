// A client of the lineage that OpenAI's first console began: the beta dialect, a realtime session, items built of events.
import { RealtimeClient } from "openai-realtime-api";
import { answer, key, parts, url } from "./client.mjs";

const client = new RealtimeClient({ url: `ws${url.slice(4)}/v1/realtime`, apiKey: key });
const told = { events: [], items: [] };
const heard = new Promise((resolve, reject) => {
  client.on("realtime.event", ({ source, event }) => {
    if (source === "server") told.events.push(event.type);
    if (event.type === "error") reject(new Error(event.error.message));
  });
  client.on("conversation.updated", ({ item }) => {
    if (item.role === "user" && item.formatted.transcript.trim()) resolve();
  });
});

await client.connect();
await client.waitForSessionCreated();
client.updateSession({ turn_detection: null, input_audio_transcription: { model: "whisper-1" } });
for (const part of parts()) client.appendInputAudio(new Int16Array(new Uint8Array(part).buffer));
client.createResponse();
await heard;
told.items = client.conversation.getItems().map(({ role, status, formatted }) => ({ role, status, transcript: formatted.transcript }));
client.disconnect();
answer(told);
