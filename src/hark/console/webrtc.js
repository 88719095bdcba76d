// A session over WebRTC: the microphone's track goes as media, events over the data channel that we open. The same verbs
// as websocket.js.
import { ApiError, request } from "./api.js";

const PATIENCE_MS = 15_000; // for a connection, once the server has answered the offer
const GRACE_MS = 5_000; // "disconnected" may pass by itself

export class PeerLink {
  appends = false;

  constructor({ onEvent, onClose, track, stream }) {
    Object.assign(this, { onEvent, onClose, track, stream });
  }

  /** Open when the session's `created` event has come. Throws ApiError. */
  async open(secret) {
    this.peer = new RTCPeerConnection();
    this.sender = this.peer.addTrack(this.track, this.stream);
    this.channel = this.peer.createDataChannel("oai-events");
    const created = this.watch();
    created.catch(() => {}); // it may fail before anybody waits for it
    try {
      await this.peer.setLocalDescription(await this.peer.createOffer());
      const answer = await request("v1/realtime/calls", {
        method: "POST",
        headers: { authorization: `Bearer ${secret}`, "content-type": "application/sdp" },
        body: this.peer.localDescription.sdp,
      });
      await this.peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
      await created;
    } catch (error) {
      this.over = true;
      this.peer.close();
      if (error.status === 404 || error.code === "upgrade_required") {
        throw new ApiError("This server does not offer WebRTC. Choose WebSocket in the settings.", { code: "no_webrtc" });
      }
      throw error instanceof ApiError ? error : new ApiError(`WebRTC did not work: ${error.message}`, { code: "webrtc" });
    }
  }

  watch() {
    return new Promise((resolve, reject) => {
      const unreached = "No connection over WebRTC came about: UDP between this browser and the server may be blocked. "
        + "Choose WebSocket in the settings.";
      const timer = setTimeout(() => reject(new ApiError(unreached, { code: "webrtc" })), PATIENCE_MS);
      this.channel.onmessage = ({ data }) => {
        const event = JSON.parse(data);
        if (event.type === "error") this.fault = event.error;
        this.onEvent(event, data.length);
        if (event.type.endsWith("session.created")) {
          clearTimeout(timer);
          this.opened = true;
          resolve();
        }
      };
      const gone = (why) => {
        clearTimeout(timer);
        if (this.opened) this.end(why);
        else reject(new ApiError(this.fault?.message ?? unreached, { code: this.fault?.code ?? "webrtc" }));
      };
      this.channel.onclose = () => gone(this.reason());
      this.peer.onconnectionstatechange = () => {
        clearTimeout(this.grace);
        if (this.peer.connectionState === "failed") gone("lost");
        if (this.peer.connectionState === "disconnected") this.grace = setTimeout(() => gone("lost"), GRACE_MS);
      };
    });
  }

  reason() {
    if (["rate_limit_exceeded", "server_overloaded"].includes(this.fault?.code)) return "limit";
    if (this.fault?.code === "session_expired") return "expired";
    return this.finishing ? "ended" : "lost";
  }

  end(why) {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.grace);
    this.peer.close();
    this.onClose(why, this.fault);
  }

  get ready() {
    return this.opened && this.channel.readyState === "open";
  }

  send(event) {
    if (this.ready) this.channel.send(JSON.stringify(event));
  }

  changeTrack(track) {
    this.track = track;
    return this.sender.replaceTrack(track);
  }

  finish() {
    this.finishing = true;
    this.send({ type: "session.close" });
  }

  close() {
    this.end("ended");
  }
}
