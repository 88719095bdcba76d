// What the scripts share: the server's address, key and recording come in by environment, one JSON object goes out.
import fs from "node:fs";
import OpenAI from "openai";

export const { HARK_URL: url, HARK_KEY: key, HARK_FILE: path } = process.env;
export const newClient = (apiKey = key) => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
export const file = () => fs.createReadStream(path);
export const answer = (told) => console.log(JSON.stringify(told));

// The recording without its header, and so many seconds of silence, in parts of 100 ms.
export const rate = () => fs.readFileSync(path).readUInt32LE(24);
export function* parts(silence = 1) {
  const step = rate() / 5;
  const audio = Buffer.concat([fs.readFileSync(path).subarray(44), Buffer.alloc(2 * rate() * silence)]);
  for (let at = 0; at < audio.length; at += step) yield audio.subarray(at, at + step);
}
