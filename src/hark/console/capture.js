// An AudioWorklet: microphone samples -> 40 ms of little-endian pcm16 and their peak. All channels are mixed to one.

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.chunk = new Int16Array(Math.round(sampleRate * 0.04));
    this.filled = 0;
    this.peak = 0;
    this.port.onmessage = () => this.flush(true); // somebody waits until all has been sent
  }

  process([channels]) {
    for (let at = 0; at < (channels[0]?.length ?? 0); at += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[at];
      const sample = Math.max(-1, Math.min(1, sum / channels.length));
      this.peak = Math.max(this.peak, Math.abs(sample));
      this.chunk[this.filled] = Math.round(sample * 32767);
      this.filled += 1;
      if (this.filled === this.chunk.length) this.flush();
    }
    return true;
  }

  flush(flushed = false) {
    const samples = this.chunk.slice(0, this.filled);
    this.port.postMessage({ samples, peak: this.peak, flushed }, [samples.buffer]);
    this.filled = 0;
    this.peak = 0;
  }
}

registerProcessor("capture", Capture);
