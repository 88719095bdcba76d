// One run from Start to Stop: microphone, connection, turns. Rule: the microphone runs on while a connection is made or made
// anew, and what the server has not heard yet is sent first, so that no word is lost to a slow start or to a broken line.
import { secretFor } from "./api.js";
import { record } from "./events.js";
import { Kept } from "./kept.js";
import { Microphone } from "./microphone.js";
import { read, sessionOf, VOICE_ACTIVITY } from "./settings.js";
import { addRecording, show } from "./transcript.js";
import { Recording } from "./turns.js";
import { PeerLink } from "./webrtc.js";
import { base64, SocketLink } from "./websocket.js";

const PATIENCE_MS = 60_000; // for a server that is gone; longer than it waits for us, for another one may take its place
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5_000;
const SILENT_MS = 10_000; // a server that is sent audio tells what it heard; one that does not is out of reach
const FAREWELL_MS = 8_000; // for the last turn, after Stop

const asked = () => JSON.stringify(sessionOf(read()));

/** Whether to try again: a limit passes, and a server that drains comes back, or another one does. */
const passes = ({ code, status }) => code === "unreachable" || status === 429 || status >= 500;

export class Listening {
  state = "idle";

  /** `onState(state)`, `onProblem(error)` for what ends a run, `onRefused(fault)` for what does not, `onApplied()`,
   *  `onLost(kept)` with whether what is said meanwhile will be heard, `onAnew(why)` for another session in the same run. */
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
    this.kept = new Kept();
    this.base_ms = this.meter.now_ms;
    this.become("starting");
    try {
      this.microphone = await Microphone.open(read().device, {
        onAudio: (samples, peak) => this.hear(samples, peak),
        onEnd: () => this.fail(new DOMException("It was unplugged or taken away.", "NotFoundError")),
      });
      if (this.state !== "starting") return this.microphone.close();
      this.meter.run();
      await this.begin(0);
    } catch (error) {
      this.fail(error);
    }
    return undefined;
  }

  /** Where a sample lies on the meter's clock. */
  ms(sample) {
    return this.base_ms + (sample / this.microphone.rate) * 1000;
  }

  hear(samples, peak) {
    if (!this.microphone) return; // the first chunk may come before open() is through
    this.kept.add(samples, this.microphone.rate);
    this.meter.hear(this.ms(this.kept.end), peak);
    if (this.state !== "listening" || !this.link.appends) return;
    if (performance.now() - this.connection.told_at > SILENT_MS) this.link.drop();
    else this.append(samples);
  }

  append(samples) {
    this.send({ type: "input_audio_buffer.append", audio: base64(samples) });
  }

  send(event) {
    this.link?.send(event);
    record("sent", event);
  }

  // ---- connection --------------------------------------------------------------------------------------------------

  /** A new session, which hears what was said from this sample on. */
  async begin(from) {
    const connection = { applied: asked() };
    const link = await this.dial(connection);
    if (!link) return;
    connection.from = this.kept.next(link.appends ? from : this.kept.end);
    connection.origin_ms = this.ms(connection.from);
    connection.recording = new Recording(`Microphone, ${new Date().toLocaleTimeString("en-GB", { timeStyle: "medium" })}`);
    addRecording(connection.recording);
    this.meter.connection = connection;
    this.go(link, connection, connection.from);
  }

  /** The session that was cut off. The secret is a new one, for the old one may have expired meanwhile. */
  async resume() {
    const { connection } = this;
    const link = await this.dial(connection, { resume: connection.id, after: connection.seen });
    if (!link) return;
    const { audio_end_ms, events_missed } = connection.resumed;
    if (events_missed) this.abandon("Some of what the server said of this turn was lost with the connection.");
    this.go(link, connection, connection.from + (audio_end_ms / 1000) * this.microphone.rate);
  }

  /** An open link; none if the run ended meanwhile. Throws ApiError. */
  async dial(connection, back) {
    const { state } = this;
    const settings = read();
    const overSocket = settings.transport === "websocket";
    const session = { ...sessionOf(settings, overSocket ? this.microphone.rate : null), include: [VOICE_ACTIVITY] };
    const secret = await secretFor(session, { anew: state === "reconnecting" });
    if (this.state !== state) return null;
    const link = new (overSocket ? SocketLink : PeerLink)({
      onEvent: (event) => this.take(event, connection),
      onClose: (why, fault) => this.closed(why, fault, connection),
      track: this.microphone.stream.getAudioTracks()[0],
      stream: this.microphone.stream,
    });
    connection.link = link;
    await link.open(secret, back);
    if (this.state === state) return link;
    link.close();
    return null;
  }

  go(link, connection, at) {
    Object.assign(this, { link, connection });
    connection.told_at = performance.now();
    this.become("listening");
    if (link.appends) this.kept.since(at).forEach((samples) => this.append(samples));
    if (asked() !== connection.applied) this.update();
  }

  closed(why, fault, connection) {
    if (connection !== this.connection || this.state === "idle") return;
    if (this.state === "stopping" || why === "ended") {
      this.abandon("The connection ended before this turn was finished.");
      this.end();
    } else if (why === "refused" || why === "limit") this.fail(Object.assign(new Error(fault?.message), fault));
    else this.reconnect(why);
  }

  /** To the same session while the server keeps it, and else to a new one, which hears what the old one did not finish. */
  async reconnect(why) {
    const { appends } = this.link;
    let anew = !appends || why === "restarted";
    let problem = Object.assign(new Error("The server is gone and did not come back."), { code: "unreachable" });
    this.link = null;
    this.become("reconnecting");
    this.onLost(appends);
    const until = performance.now() + PATIENCE_MS;
    for (let wait = FIRST_WAIT_MS; performance.now() < until; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
      const shared = wait * (0.75 + Math.random() / 2); // so that not all pages of a server come back at once
      await new Promise((resolve) => { this.wake = resolve; setTimeout(resolve, shared); });
      try {
        if (this.state === "reconnecting" && !anew) await this.resume().catch((error) => {
          if (error.code !== "session_not_found") throw error;
          anew = true;
        });
        if (this.state === "reconnecting" && anew) await this.renew(why);
        if (this.state !== "reconnecting") return undefined;
      } catch (error) {
        if (!passes(error)) return this.fail(error);
        if (error.code !== "unreachable") problem = error;
      }
    }
    return this.fail(problem);
  }

  async renew(why) {
    const { from, link, recording } = this.connection;
    const finished = recording.turns.filter((turn) => turn.outcome === "completed").map((turn) => turn.end_ms ?? 0);
    this.abandon(link.appends ? "Cut off with its session: what was said is sent again to the next one."
      : "The connection ended before this turn was finished.");
    await this.begin(from + (Math.max(0, ...finished) / 1000) * this.microphone.rate);
    if (this.state === "listening") this.onAnew(why);
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
    if (event.type === "session.created") Object.assign(connection, { id: event.session.id, resumed: event.resumed });
    else if (connection.link !== this.link) return; // a refusal is told by `dial`, and nothing that the session said
    connection.seen = event.event_id;
    connection.told_at = performance.now();
    if (event.type === "hark.voice_activity") {
      if (!connection.link.appends) this.align(connection, event);
      this.meter.score(connection, event);
    } else if (event.type === "error") {
      this.onRefused(event.error);
    } else if (event.type === "session.updated") {
      connection.applied = this.asked ?? connection.applied;
      this.onApplied();
    } else {
      const change = connection.recording?.take(event, performance.now());
      if (!change) return;
      show(connection.recording, change);
      this.meter.mark(connection, change.turn);
    }
  }

  /** Over WebRTC nobody says where the server's clock began: the least delay that was seen is nearest to the truth. */
  align(connection, { audio_start_ms, window_ms, probabilities }) {
    const began = this.ms(this.kept.end) - (audio_start_ms + window_ms * probabilities.length);
    connection.origin_ms = connection.aligned ? Math.min(connection.origin_ms, began) : began;
    connection.aligned = true;
  }

  // ---- what people ask ---------------------------------------------------------------------------------------------

  update() {
    if (this.state !== "listening") return;
    this.asked = asked();
    this.send({ type: "session.update", session: sessionOf(read()) });
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
    if (this.state === "listening") await this.microphone.flush();
    if (this.state !== "listening") {
      this.abandon("The connection was lost before this turn was finished.");
      return this.end();
    }
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
