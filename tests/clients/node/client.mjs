// What the scripts share: the server's address, key and recording come in by environment, one JSON object goes out.
import fs from "node:fs";
import OpenAI from "openai";

export const { HARK_URL: url, HARK_KEY: key, HARK_FILE: path } = process.env;
export const newClient = (apiKey = key) => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
export const file = () => fs.createReadStream(path);
export const answer = (told) => console.log(JSON.stringify(told));
