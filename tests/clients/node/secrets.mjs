// Client secrets by openai-node, in both dialects; the last as one widely read question mints it.
import { answer, newClient } from "./client.mjs";

const client = newClient();
const seconds = { anchor: "created_at", seconds: 60 };
const heard = { format: { type: "audio/pcm", rate: 24000 }, transcription: { model: "gpt-4o-transcribe", language: "en" } };
answer({
  ga: await client.realtime.clientSecrets.create({
    expires_after: seconds,
    session: { type: "transcription", audio: { input: heard } },
  }),
  empty: await client.realtime.clientSecrets.create({}),
  sessions: await client.beta.realtime.sessions.create({ model: "gpt-4o-realtime-preview", voice: "verse" }),
  transcription_sessions: await client.beta.realtime.transcriptionSessions.create({
    input_audio_transcription: { model: "gpt-4o-transcribe", language: "ja" },
    turn_detection: { type: "semantic_vad", eagerness: "low" },
  }),
});
