// The list of models by openai-node, page by page as it offers it, and one of them.
import { answer, newClient } from "./client.mjs";

const client = newClient();
const listed = [];
for await (const model of client.models.list()) listed.push(model);
answer({ listed, one: await client.models.retrieve("whisper-1") });
