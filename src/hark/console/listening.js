// One run from Start to Stop: microphone, connection, turns. Rule: the microphone runs on while a connection is made or made
// anew, and what it heard meanwhile is sent first, so that no word is lost to a slow start.
import { secretFor } from "./api.js";
import { record } from "./events.js";
import { Microphone } from "./microphone.js";
import { read, sessionOf, VOICE_ACTIVITY } from "./settings.js";
import { addRecording, show } from "./transcript.js";
import { Recording } from "./turns.js";
import { PeerLink } from "./webrtc.js";
import { base64, SocketLink } from "./websocket.js";

const WAITS_MS = [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000];
const KEPT_MS = 10_000; // of audio, while there is no connection
const FAREWELL_MS = 8_000; // for the last turn, after Stop

export class Listening {
  state = "idle";

  /** `onState(state)`, `onProblem(error)` for what ends a run, `onRefused(fault)` for what does not, `onApplied()`. */
  constructor(meter, listeners) {
    Object.assign(this, listeners);
    this.meter = meter;
    this.base_ms = 0;
  }

  become(state) {
    this.state = state;
    this.onState(state);
  }

  async start() {
    this.pending = [];
    this.captured = 0;
    this.base_ms = this.meter.now_ms;
    this.become("starting");
    try {
      this.microphone = await Microphone.open(read().device, {
        onAudio: (samples, peak) => this.hear(samples, peak),
        onEnd: () => this.fail(new DOMException("It was unplugged or taken away.", "NotFoundError")),
      });
      if (this.state !== "starting") return this.microphone.close();
      this.meter.run();
      await this.connect();
    } catch (error) {
      this.fail(error);
    }
    return undefined;
  }

  get captured_ms() {
    return this.base_ms + (this.captured / this.microphone.rate) * 1000;
  }

  hear(samples, peak) {
    if (!this.microphone) return; // the first chunk may come before open() is through
    this.captured += samples.length;
    this.meter.hear(this.captured_ms, peak);
    if (this.state === "starting" || this.state === "reconnecting") this.keep(samples);
    else if (this.state === "listening" && this.link.appends) this.append(samples);
  }

  keep(samples) {
    this.pending.push(samples);
    const most = (KEPT_MS / 1000) * this.microphone.rate;
    let kept = this.pending.reduce((sum, chunk) => sum + chunk.length, 0);
    while (kept > most) kept -= this.pending.shift().length;
  }

  append(samples) {
    this.send({ type: "input_audio_buffer.append", audio: base64(samples) });
  }

  send(event) {
    this.link.send(event);
    record("sent", event);
  }

  // ---- connection --------------------------------------------------------------------------------------------------

  async connect() {
    const settings = read();
    const overSocket = settings.transport === "websocket";
    const session = { ...sessionOf(settings, overSocket ? this.microphone.rate : null), include: [VOICE_ACTIVITY] };
    const secret = await secretFor(session);
    const connection = { origin_ms: 0 };
    const listeners = {
      onEvent: (event) => this.take(event, connection),
      onClose: (why, fault) => this.closed(why, fault, connection),
      track: this.microphone.stream.getAudioTracks()[0],
      stream: this.microphone.stream,
    };
    const link = overSocket ? new SocketLink(listeners) : new PeerLink(listeners);
    connection.link = link;
    await link.open(secret);
    if (this.state !== "starting" && this.state !== "reconnecting") return link.close(); // stopped meanwhile
    const unsent = this.pending.reduce((sum, chunk) => sum + chunk.length, 0);
    connection.origin_ms = this.captured_ms - (link.appends ? (unsent / this.microphone.rate) * 1000 : 0);
    connection.recording = new Recording(`Microphone, ${new Date().toLocaleTimeString("en-GB", { timeStyle: "medium" })}`);
    addRecording(connection.recording);
    Object.assign(this, { link, connection });
    this.meter.connection = connection;
    this.become("listening");
    if (link.appends) this.pending.forEach((samples) => this.append(samples));
    this.pending = [];
    if (JSON.stringify(sessionOf(read())) !== JSON.stringify(sessionOf(settings))) this.update();
    return undefined;
  }

  closed(why, fault, connection) {
    if (connection !== this.connection || this.state === "idle") return;
    this.abandon("The connection ended before this turn was finished.");
    if (this.state === "stopping" || why === "ended") this.end();
    else if (why === "refused" || why === "limit") this.fail(Object.assign(new Error(fault?.message), fault));
    else this.reconnect();
  }

  async reconnect() {
    this.connection = this.link = null;
    this.become("reconnecting");
    for (const wait of WAITS_MS) {
      await new Promise((resolve) => { this.wake = resolve; setTimeout(resolve, wait); });
      if (this.state !== "reconnecting") return;
      try {
        await this.connect();
        return;
      } catch (error) {
        if (error.code !== "unreachable") return this.fail(error);
      }
    }
    if (this.state === "reconnecting") {
      this.fail(Object.assign(new Error("The server is gone and did not come back."), { code: "unreachable" }));
    }
  }

  /** The tab is online again, or somebody is impatient. */
  retry() {
    this.wake?.();
  }

  abandon(why) {
    for (const turn of this.connection?.recording.abandon(why) ?? []) {
      turn.end_ms ??= turn.start_ms;
      show(this.connection.recording, { turn, finished: true });
    }
  }

  // ---- events ------------------------------------------------------------------------------------------------------

  take(event, connection) {
    record("got", event);
    if (connection !== this.connection) return;
    if (event.type === "hark.voice_activity") {
      if (!connection.link.appends) this.align(connection, event);
      this.meter.score(connection, event);
    } else if (event.type === "error") {
      this.onRefused(event.error);
    } else if (event.type === "session.updated") {
      this.onApplied();
    } else {
      const change = connection.recording.take(event, performance.now());
      if (!change) return;
      show(connection.recording, change);
      this.meter.mark(connection, change.turn);
    }
  }

  /** Over WebRTC nobody says where the server's clock began: the least delay that was seen is nearest to the truth. */
  align(connection, { audio_start_ms, window_ms, probabilities }) {
    const began = this.captured_ms - (audio_start_ms + window_ms * probabilities.length);
    connection.origin_ms = connection.aligned ? Math.min(connection.origin_ms, began) : began;
    connection.aligned = true;
  }

  // ---- what people ask ---------------------------------------------------------------------------------------------

  update() {
    if (this.state === "listening") this.send({ type: "session.update", session: sessionOf(read()) });
  }

  async commit() {
    if (this.state !== "listening") return;
    await this.microphone.flush();
    this.send({ type: "input_audio_buffer.commit" });
  }

  async changeDevice(device) {
    if (!this.microphone) return;
    try {
      const track = await this.microphone.change(device);
      await this.link?.changeTrack?.(track);
    } catch (error) {
      this.fail(error);
    }
  }

  async stop() {
    if (this.state !== "listening") return this.end();
    await this.microphone.flush();
    this.become("stopping");
    this.microphone.close();
    this.meter.stop();
    record("sent", { type: "session.close" });
    this.link.finish();
    const { link } = this;
    this.farewell = setTimeout(() => {
      link.close();
      this.abandon("The server did not finish this turn.");
      this.end();
    }, FAREWELL_MS);
    return undefined;
  }

  fail(error) {
    if (this.state === "idle") return;
    this.abandon("Listening ended before this turn was finished.");
    this.end();
    this.onProblem(error);
  }

  end() {
    clearTimeout(this.farewell);
    this.microphone?.close();
    this.link?.close();
    this.meter.stop();
    this.microphone = this.link = this.connection = null;
    this.become("idle");
    this.wake?.();
  }
}

