// openai-node's realtime classes, as they are: both insist on wss://, and Node is told whom to trust by its environment.
import fs from "node:fs";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { answer, newClient, path } from "./client.mjs";

const TURNS = 6;

function listen(session, socket, opened) {
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
    opened(socket, () => {
      const format = { type: "audio/pcm", rate: 16000 };
      session.send({ type: "session.update", session: { type: "transcription", audio: { input: { format } } } });
      const audio = Buffer.concat([fs.readFileSync(path).subarray(44), Buffer.alloc(32000)]);
      for (let at = 0; at < audio.length; at += 6400) {
        session.send({ type: "input_audio_buffer.append", audio: audio.subarray(at, at + 6400).toString("base64") });
      }
    });
  });
}

const client = newClient();
const { value } = await client.realtime.clientSecrets.create({ session: { type: "transcription" } });
const browser = () => {
  const session = new OpenAIRealtimeWebSocket({ model: "gpt-realtime", dangerouslyAllowBrowser: true }, newClient(value));
  return listen(session, session.socket, (socket, go) => socket.addEventListener("open", go));
};
const node = () => {
  const session = new OpenAIRealtimeWS({ model: "gpt-realtime" }, client);
  return listen(session, session.socket, (socket, go) => socket.on("open", go));
};
answer({ OpenAIRealtimeWebSocket: await browser(), OpenAIRealtimeWS: await node() });
