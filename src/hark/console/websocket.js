// A session over WebSocket: events are text frames, audio is appended in base64. The same verbs as webrtc.js.
import { ApiError, here, UNREACHABLE } from "./api.js";

const FINAL = { 3000: "refused", 4000: "refused", 1013: "limit", 1001: "expired" };

export class SocketLink {
  appends = true;

  /** `onEvent(event)`; `onClose(why)` once, with "ended", "refused", "limit", "expired" or "lost". */
  constructor({ onEvent, onClose }) {
    this.onEvent = onEvent;
    this.onClose = onClose;
  }

  /** Open when `session.created` has come. Throws ApiError. */
  open(secret) {
    const url = new URL(here("v1/realtime?intent=transcription"));
    url.protocol = url.protocol.replace("http", "ws");
    this.socket = new WebSocket(url, ["realtime", `openai-insecure-api-key.${secret}`]);
    return new Promise((resolve, reject) => {
      this.socket.onmessage = ({ data }) => {
        const event = JSON.parse(data);
        if (event.type === "error") this.fault = event.error;
        this.onEvent(event, data.length);
        if (event.type === "session.created") {
          this.opened = true;
          resolve();
        }
      };
      this.socket.onclose = ({ code, wasClean }) => {
        const why = FINAL[code] ?? (wasClean && code === 1000 ? "ended" : "lost");
        if (this.opened) return this.onClose(why, this.fault);
        const message = this.fault?.message ?? UNREACHABLE;
        return reject(new ApiError(message, { status: code === 3000 ? 401 : 0, code: this.fault?.code ?? "unreachable" }));
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
