// What the microphone heard last, by the audio clock: for a connection that is not there yet, or not any more. Rule: chunks
// stay as they were sent. A server takes each whole or not at all, so it has always stopped between two of them.

const KEPT_MS = 45_000; // a server waits 30 s for who was cut off; the rest is for what had been on its way

export class Kept {
  end = 0; // samples heard since Start
  chunks = []; // {at, samples}; `at` is the first one's number

  get start() {
    return this.chunks[0]?.at ?? this.end;
  }

  add(samples, rate) {
    this.chunks.push({ at: this.end, samples });
    this.end += samples.length;
    while (this.end - this.start > (KEPT_MS / 1000) * rate) this.chunks.shift();
  }

  /** The first whole chunk at sample `at` or later begins here. */
  next(at) {
    return this.chunks.find((chunk) => chunk.at >= at)?.at ?? this.end;
  }

  /** All from sample `at` on. What is not kept any more is silence, or the clock would be late ever after. */
  since(at) {
    const missing = Math.max(0, Math.round(this.start - at));
    const kept = this.chunks.filter((chunk) => chunk.at >= at).map(({ samples }) => samples);
    return missing ? [new Int16Array(missing), ...kept] : kept;
  }
}
