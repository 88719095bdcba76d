// openai-node's realtime classes, as they are: all insist on wss://, and Node is told whom to trust by its environment.
import { OpenAIRealtimeWebSocket as BetaWebSocket } from "openai/beta/realtime/websocket";
import { OpenAIRealtimeWS as BetaWS } from "openai/beta/realtime/ws";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { answer, newClient, parts, rate } from "./client.mjs";

const TURNS = 6;
const transcription = { model: "gpt-4o-transcribe" };
const nested = { type: "transcription", audio: { input: { format: { type: "audio/pcm", rate: rate() }, transcription } } };
const flat = { input_audio_format: { type: "pcm16", rate: rate() }, input_audio_transcription: transcription };
const updates = {
  ga: { type: "session.update", session: nested },
  transcription: { type: "transcription_session.update", session: flat },
  realtime: { type: "session.update", session: flat },
};

function listen(session, update) {
  const opened = new Promise((resolve) => {
    if (session.socket.on) session.socket.on("open", resolve);
    else session.socket.addEventListener("open", resolve);
  });
  return new Promise((resolve, reject) => {
    const events = [];
    let said = 0;
    session.on("error", reject);
    session.on("event", (event) => {
      events.push(event);
      said += event.type === "conversation.item.input_audio_transcription.completed";
      if (said === TURNS) {
        session.close();
        resolve(events);
      }
    });
    opened.then(() => {
      session.send(update);
      for (const part of parts()) {
        session.send({ type: "input_audio_buffer.append", audio: part.toString("base64") });
      }
    });
  });
}

const client = newClient();
const ga = await client.realtime.clientSecrets.create({ session: { type: "transcription" } });
const beta = await client.beta.realtime.transcriptionSessions.create({});
const withSecret = newClient(ga.value);
const withBetaSecret = newClient(beta.client_secret.value);
const told = {};
for (const [name, Session, by, from, update] of [
  ["GA WebSocket, intent", OpenAIRealtimeWebSocket, { intent: "transcription" }, withSecret, updates.ga],
  ["GA WebSocket, model", OpenAIRealtimeWebSocket, { model: "gpt-realtime" }, withSecret, updates.ga],
  ["GA ws, intent", OpenAIRealtimeWS, { intent: "transcription" }, client, updates.ga],
  ["GA ws, model", OpenAIRealtimeWS, { model: "gpt-realtime" }, client, updates.ga],
  ["beta WebSocket, transcribing model", BetaWebSocket, { model: "gpt-4o-transcribe" }, withBetaSecret, updates.transcription],
  ["beta WebSocket, realtime model", BetaWebSocket, { model: "gpt-4o-realtime-preview" }, client, updates.realtime],
  ["beta ws, transcribing model", BetaWS, { model: "gpt-4o-transcribe" }, client, updates.transcription],
  ["beta ws, realtime model", BetaWS, { model: "gpt-4o-realtime-preview" }, client, updates.realtime],
]) {
  told[name] = await listen(new Session({ dangerouslyAllowBrowser: true, ...by }, from), update);
}
answer(told);
