// The Agents SDK as its guide has it: an ephemeral key, a microphone's 24 kHz, and no settings but the transport; or with
// these in HARK_DETECTION for turns, and then more silence at the end.
import { RealtimeAgent, RealtimeSession } from "@openai/agents-realtime";
import { parseRealtimeEvent } from "./node_modules/@openai/agents-realtime/dist/openaiRealtimeEvents.mjs";
import { answer, newClient, parts, url } from "./client.mjs";

const last = /better/i;
const { value } = await newClient().realtime.clientSecrets.create({ session: { type: "realtime", model: "gpt-realtime" } });
const turnDetection = JSON.parse(process.env.HARK_DETECTION ?? "null");
const session = new RealtimeSession(new RealtimeAgent({ name: "Listener" }), {
  transport: "websocket",
  ...(turnDetection && { config: { audio: { input: { turnDetection } } } }),
});
const told = { statuses: [], events: [], history: [] };
session.transport.on("connection_change", (status) => told.statuses.push(status));
session.on("transport_event", (event) => {
  const { isGeneric } = parseRealtimeEvent({ data: JSON.stringify(event) });
  told.events.push([event.type, isGeneric]);
});
const transcript = ({ content }) => content.map((part) => part.transcript ?? "").join(" ");
const heard = new Promise((resolve, reject) => {
  session.on("error", ({ error }) => reject(error));
  session.on("history_updated", (history) => {
    told.history = history.map((item) => [item.role, transcript(item)]);
    if (history.some((item) => last.test(transcript(item)))) resolve();
  });
});
const retrieved = new Promise((resolve) => {
  let idle;
  session.on("transport_event", (event) => {
    if (event.type === "input_audio_buffer.timeout_triggered") idle = event.item_id;
    if (event.type !== "conversation.item.retrieved") return;
    if (turnDetection ? event.item.id === idle : last.test(transcript(event.item))) resolve();
  });
});

await session.connect({ apiKey: value, url: `ws${url.slice(4)}/v1/realtime?model=gpt-realtime` });
for (const part of parts(turnDetection ? 8 : 5)) session.sendAudio(new Uint8Array(part).buffer);
await heard;
await retrieved;
session.close();
answer(told);
