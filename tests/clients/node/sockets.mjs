// Node's `ws` as one guide uses it: the secret in a header beside the beta header, or in the query.
import fs from "node:fs";
import { WebSocket } from "ws";
import { answer, key, path, url } from "./client.mjs";

const TURNS = 6;

async function mint() {
  const response = await fetch(`${url}/v1/realtime/transcription_sessions`, {
    method: "POST",
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json", "OpenAI-Beta": "realtime=v1" },
    body: JSON.stringify({ model: "gpt-4o-transcribe", language: "en", vad: { enabled: true } }),
  });
  return (await response.json()).client_secret.value;
}

function listen(where, headers) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws${url.slice(4)}${where}`, { headers });
    const events = [];
    let said = 0;
    socket.on("error", reject);
    socket.on("open", () => {
      const sound = { type: "transcription_session.update", session: { input_audio_format: { type: "pcm16", rate: 16000 } } };
      socket.send(JSON.stringify(sound));
      const audio = Buffer.concat([fs.readFileSync(path).subarray(44), Buffer.alloc(32000)]);
      for (let at = 0; at < audio.length; at += 6400) {
        const chunk = audio.subarray(at, at + 6400).toString("base64");
        socket.send(JSON.stringify({ type: "input_audio_buffer.append", audio: chunk }));
      }
    });
    socket.on("message", (data) => {
      const event = JSON.parse(data);
      events.push(event);
      said += event.type === "conversation.item.input_audio_transcription.completed";
      if (said === TURNS || event.type === "error") socket.close();
    });
    socket.on("close", () => resolve(events));
  });
}

const target = "/v1/realtime?intent=transcription";
const beta = { "OpenAI-Beta": "realtime=v1" };
answer({
  headers: await listen(target, { Authorization: `Bearer ${await mint()}`, ...beta }),
  query: await listen(`${target}&authorization=Bearer%20${await mint()}`, beta),
});
