// The microphone: a MediaStream for WebRTC, and pcm16 with its level for WebSocket and the meter.
import { ApiError, here, UNREACHABLE } from "./api.js";

const RATE = 24_000;
// The server has noise reduction of its own to choose, and two in a row hear less than one.
const CONSTRAINTS = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true };

export class Microphone {
  flushes = []; // who waits for one, in order

  /** `onAudio(samples, peak)` gets each 40 ms; `onEnd` is told when the device goes away. Throws DOMException. */
  static async open(device, { onAudio, onEnd }) {
    const microphone = new Microphone();
    microphone.onAudio = onAudio;
    microphone.onEnd = onEnd;
    microphone.stream = await openStream(device);
    try {
      await microphone.listen();
    } catch (error) {
      microphone.close();
      throw error;
    }
    return microphone;
  }

  get rate() {
    return this.context.sampleRate;
  }

  async listen() {
    try {
      await this.build(RATE);
    } catch (error) {
      if (error.name !== "NotSupportedError") throw error;
      await this.context.close(); // Firefox does not resample a microphone: the server takes any rate up to 48,000.
      await this.build(undefined);
    }
  }

  async build(sampleRate) {
    this.context = new AudioContext({ sampleRate, latencyHint: "interactive" });
    await this.context.audioWorklet.addModule(here("console/capture.js")).catch(() => { throw new ApiError(UNREACHABLE, { code: "unreachable" }); });
    this.node = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0 });
    this.node.port.onmessage = ({ data }) => {
      if (data.samples.length) this.onAudio(data.samples, data.peak);
      if (data.flushed) this.flushes.shift()();
    };
    this.connect();
    await this.context.resume();
  }

  connect() {
    this.source?.disconnect();
    this.source = this.context.createMediaStreamSource(this.stream);
    this.source.connect(this.node);
    this.stream.getAudioTracks()[0].addEventListener("ended", () => this.onEnd());
  }

  /** Another device; what was heard goes on at the same rate. Returns the new track. */
  async change(device) {
    const stream = await openStream(device);
    this.stream.getTracks().forEach((track) => track.stop());
    this.stream = stream;
    this.connect();
    return stream.getAudioTracks()[0];
  }

  /** Every sample up to now has been given to `onAudio`. */
  flush() {
    return new Promise((resolve) => {
      this.flushes.push(resolve);
      this.node.port.postMessage("flush");
    });
  }

  close() {
    this.stream?.getTracks().forEach((track) => track.stop());
    if (this.context && this.context.state !== "closed") this.context.close();
  }
}

async function openStream(device) {
  if (!navigator.mediaDevices?.getUserMedia) throw Object.assign(new Error("no secure context"), { name: "InsecureContext" });
  return navigator.mediaDevices.getUserMedia({ audio: { ...CONSTRAINTS, ...(device && { deviceId: { exact: device } }) } });
}
