// What the Agents SDK's parser, the strictest of the clients', makes of server events: a line of JSON each comes in, and
// for each it is told whether the parser knows the event or only lets it through as a generic one.
import fs from "node:fs";
import { parseRealtimeEvent } from "./node_modules/@openai/agents-realtime/dist/openaiRealtimeEvents.mjs";
import { answer } from "./client.mjs";

const lines = fs.readFileSync(process.argv[2], "utf8").trim().split("\n");
answer(lines.map((data) => !parseRealtimeEvent({ data }).isGeneric));
