// What openai-node throws: the class, and what it read from the answer.
import { answer, file, newClient } from "./client.mjs";

const client = newClient();
const stranger = newClient("sk-wrong-and-secret");
const asked = {
  key: () => stranger.models.list(),
  upload_key: () => stranger.audio.transcriptions.create({ file: file(), model: "whisper-1" }),
  mint_key: () => stranger.realtime.clientSecrets.create({}),
  model: () => client.models.retrieve("no-such-model"),
  form: () => client.audio.transcriptions.create({ file: file(), model: "gpt-4o-transcribe", response_format: "srt" }),
  translation: () => client.audio.translations.create({ file: file(), model: "whisper-1" }),
  field: () => client.realtime.clientSecrets.create({ bogus: 1 }),
  url: () => client.chat.completions.create({ model: "x", messages: [] }),
};
const told = {};
for (const [name, question] of Object.entries(asked)) {
  try {
    told[name] = { answered: await question() };
  } catch (error) {
    const { status, code, param, type, message } = error;
    told[name] = { thrown: error.constructor.name, status, code, param, type, message };
  }
}
answer(told);
