// A session over WebSocket: events are text frames, audio is appended in base64. The same verbs as webrtc.js.
import { ApiError, here, UNREACHABLE } from "./api.js";

const ENDS = { 3000: "refused", 4000: "refused", 1013: "limit", 1001: "expired", 1012: "restarted" };
const STATUS = { 3000: 401, 4000: 400, 1013: 429 }; // of HTTP, for a refusal; any other is no fault of ours
const PATIENCE_MS = 10_000; // for a session; networks that swallow what they get never answer
const OUT_OF_REACH = 4001; // ours, to a server that may not hear it: any code but 1000 is no goodbye

export class SocketLink {
  appends = true;

  /** `onEvent(event)`; `onClose(why)` once, with "ended", "refused", "limit", "expired", "restarted" or "lost". */
  constructor({ onEvent, onClose }) {
    this.onEvent = onEvent;
    this.onClose = onClose;
  }

  /** Open when `session.created` has come. `back`: the session to go on with, and the last event seen. Throws ApiError. */
  open(secret, back = {}) {
    const url = new URL(here(`v1/realtime?${new URLSearchParams({ intent: "transcription", ...back })}`));
    url.protocol = url.protocol.replace("http", "ws");
    this.socket = new WebSocket(url, ["realtime", `openai-insecure-api-key.${secret}`]);
    const timer = setTimeout(() => this.socket.close(OUT_OF_REACH), PATIENCE_MS);
    return new Promise((resolve, reject) => {
      this.socket.onmessage = ({ data }) => {
        const event = JSON.parse(data);
        if (event.type === "error") this.fault = event.error;
        this.onEvent(event, data.length);
        if (event.type === "session.created") {
          clearTimeout(timer);
          this.opened = true;
          resolve();
        }
      };
      this.socket.onclose = ({ code, wasClean }) => {
        clearTimeout(timer);
        const why = ENDS[code] ?? (wasClean && code === 1000 ? "ended" : "lost");
        if (this.opened) return this.onClose(why, this.fault);
        if (!this.fault) return reject(new ApiError(UNREACHABLE, { code: "unreachable" }));
        return reject(new ApiError(this.fault.message, { status: STATUS[code] ?? 503, code: this.fault.code }));
      };
    });
  }

  get ready() {
    return this.opened && this.socket.readyState === WebSocket.OPEN;
  }

  send(event) {
    if (this.ready) this.socket.send(JSON.stringify(event));
  }

  /** Ask the server to finish the open turn, to say the rest and to close. */
  finish() {
    this.send({ type: "session.close" });
  }

  /** Wait no longer for a server that is out of reach. */
  drop() {
    this.socket.onmessage = this.socket.onclose = null;
    this.socket.close(OUT_OF_REACH);
    this.onClose("lost");
  }

  close() {
    this.socket.close(1000);
  }
}

/** Base64 of pcm16. */
export function base64(samples) {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x2000) text += String.fromCharCode(...bytes.subarray(at, at + 0x2000));
  return btoa(text);
}
