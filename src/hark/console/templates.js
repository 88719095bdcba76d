// The programs of the code panel, as text: {server, session, form, keyed, overWebRTC} -> {note, text}.

const indented = (text, by) => text.replaceAll("\n", `\n${" ".repeat(by)}`);
const json = (value, by = 0) => indented(JSON.stringify(value, null, 2), by);
const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A JSON value as Python writes it. */
function literal(value, depth = 0) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const pad = "    ".repeat(depth + 1);
  const inside = Object.entries(value).map(([name, one]) => `${pad}${JSON.stringify(name)}: ${literal(one, depth + 1)},\n`);
  return inside.length ? `{\n${inside.join("")}${"    ".repeat(depth)}}` : "{}";
}

const ENVIRONMENT = "Set HARK_API_KEY to your key.";
const commits = (session) => session.audio.input.turn_detection === null;

export function python({ server, session, keyed }) {
  const note = `OpenAI's SDK: pip install "openai[realtime]", then python live.py FILE.wav (16-bit mono). ${keyed ? ENVIRONMENT : ""}`;
  return { note, text: `"""Send a WAV file as it would play, and print each turn: python live.py FILE.wav"""

import asyncio
import base64
import os
import sys
import wave

from openai import AsyncOpenAI

SESSION = ${literal(session)}


async def send(session, file) -> None:
    rate = file.getframerate()
    SESSION["audio"]["input"]["format"] = {"type": "audio/pcm", "rate": rate}
    await session.session.update(session=SESSION)
    while chunk := file.readframes(rate // 10):
        await session.input_audio_buffer.append(audio=base64.b64encode(chunk).decode())
        await asyncio.sleep(0.1)
${commits(session) ? "    await session.input_audio_buffer.commit()\n" : ""}    await session.send({"type": "session.close"})  # finishes what is open, then closes


async def main(path: str) -> None:
    client = AsyncOpenAI(base_url="${server}/v1", api_key=os.environ.get("HARK_API_KEY", "none"))
    async with client.realtime.connect(extra_query={"intent": "transcription"}) as session:
        with wave.open(path) as file:
            sending = asyncio.create_task(send(session, file))
            async for event in session:
                if event.type == "conversation.item.input_audio_transcription.delta":
                    print(event.delta, end="", flush=True)
                elif event.type == "conversation.item.input_audio_transcription.completed":
                    print()
                elif event.type == "error":
                    sys.exit(event.error.message)
            await sending


asyncio.run(main(sys.argv[1]))
` };
}

export function node({ server, session, keyed }) {
  const note = `Node 18 or later: npm install ws, then node live.mjs FILE.wav (16-bit mono). ${keyed ? ENVIRONMENT : ""}`;
  return { note, text: `// Sends a WAV file as it would play, and prints each turn: node live.mjs FILE.wav
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";

const wav = await readFile(process.argv[2]);
const rate = wav.readUInt32LE(24); // the header itself is skipped by the server
const session = ${json(session)};
session.audio.input.format = { type: "audio/pcm", rate };

const socket = new WebSocket("${server.replace("http", "ws")}/v1/realtime?intent=transcription", {
  headers: { Authorization: \`Bearer \${process.env.HARK_API_KEY ?? "none"}\` },
});
const send = (type, fields = {}) => socket.send(JSON.stringify({ type, ...fields }));

socket.on("open", async () => {
  send("session.update", { session });
  const step = Math.round(rate / 10) * 2;
  for (let at = 0; at < wav.length; at += step) {
    send("input_audio_buffer.append", { audio: wav.subarray(at, at + step).toString("base64") });
    await sleep(100);
  }
${commits(session) ? '  send("input_audio_buffer.commit");\n' : ""}  send("session.close"); // finishes what is open, then closes
});
socket.on("message", (data) => {
  const event = JSON.parse(data);
  if (event.type.endsWith("transcription.delta")) process.stdout.write(event.delta);
  if (event.type.endsWith("transcription.completed")) process.stdout.write("\\n");
  if (event.type === "error") console.error(event.error.message);
});
` };
}

const MEDIA = `  const peer = new RTCPeerConnection();
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  peer.addTrack(microphone.getTracks()[0], microphone);
  const channel = peer.createDataChannel("oai-events");
  channel.onmessage = ({ data }) => show(JSON.parse(data));
  await peer.setLocalDescription(await peer.createOffer());
  const answer = await fetch(\`\${server}/v1/realtime/calls\`, {
    method: "POST",
    headers: { "Content-Type": "application/sdp", Authorization: \`Bearer \${await secret()}\` },
    body: peer.localDescription.sdp,
  });
  if (!answer.ok) throw new Error((await answer.json()).error.message);
  await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });`;
const CAPTURE = `registerProcessor("capture", class extends AudioWorkletProcessor {
  samples = [];
  process([[block]]) {
    if (block) this.samples.push(...block);
    if (this.samples.length >= 2400) {
      this.port.postMessage(Int16Array.from(this.samples.splice(0), (sample) => Math.max(-1, Math.min(1, sample)) * 32767));
    }
    return true;
  }
});`;
const SOCKET = `  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  const context = new AudioContext({ sampleRate: 24000 });
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([capture], { type: "text/javascript" })));
  const worklet = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
  context.createMediaStreamSource(microphone).connect(worklet);
  const socket = new WebSocket(\`\${server.replace("http", "ws")}/v1/realtime?intent=transcription\`,
    ["realtime", \`openai-insecure-api-key.\${await secret()}\`]);
  socket.onmessage = ({ data }) => show(JSON.parse(data));
  worklet.port.onmessage = ({ data }) => {
    const audio = btoa(String.fromCharCode(...new Uint8Array(data.buffer)));
    if (socket.readyState === 1) socket.send(JSON.stringify({ type: "input_audio_buffer.append", audio }));
  };`;

export function browser({ server, session, keyed, overWebRTC }) {
  const note = keyed
    ? "A page of yours, over https or from localhost. Let your own server mint the secret with its key, at the place that is marked."
    : "A page that is served from localhost, for without keys the server answers pages of its own machine only.";
  const commit = overWebRTC ? "channel" : "socket";
  const end = `
  const end = document.createElement("button");
  end.textContent = "End the turn";
  end.onclick = () => ${commit}.send(JSON.stringify({ type: "input_audio_buffer.commit" }));
  document.body.append(end);`;
  return { note, text: `<!doctype html>
<meta charset="utf-8">
<title>Speak</title>
<button id="start">Start</button>
<p id="text"></p>
<script type="module">
const server = "${server}";
const session = ${json(session)};

async function secret() {${keyed ? "\n  // Replace this by a request to your own server, which sends its key here: a key does not belong into a page." : ""}
  const answer = await fetch(\`\${server}/v1/realtime/client_secrets\`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ session }),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error.message);
  return body.value;
}

function show(event) {
  const text = document.getElementById("text");
  if (event.type === "conversation.item.input_audio_transcription.delta") text.append(event.delta);
  if (event.type === "conversation.item.input_audio_transcription.completed") text.append(document.createElement("br"));
  if (event.type === "error") text.append(event.error.message);
}
${overWebRTC ? "" : `\nconst capture = \`${CAPTURE}\`;\n`}
document.getElementById("start").onclick = async () => {
${overWebRTC ? MEDIA : SOCKET}${commits(session) ? end : ""}
};
</script>
` };
}

export function curl({ server, session, form, keyed }) {
  const note = `The first mints a client secret for these settings, the second transcribes a file. ${keyed ? ENVIRONMENT : ""}`;
  const key = keyed ? ' \\\n  -H "Authorization: Bearer $HARK_API_KEY"' : "";
  const fields = form.map(([name, value]) => ` \\\n  -F ${/^[\w.-]+$/.test(value) ? `${name}=${value}` : shell(`${name}=${value}`)}`);
  return { note, text: `curl ${server}/v1/realtime/client_secrets${key} \\
  -H "Content-Type: application/json" \\
  -d ${shell(json({ session }))}

curl -N ${server}/v1/audio/transcriptions${key} \\
  -F file=@FILE${fields.join("")}
` };
}
