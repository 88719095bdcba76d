// The last 20 seconds as a picture: level, the voice probability that the server told, the thresholds, and the turns, so
// that one sees why a turn began and ended. Rule: everything stands on the page's own count of captured milliseconds; what
// comes from the server is on the clock of its connection, whose `origin_ms` says where that began.
import { $, clock } from "./dom.js";

const SPAN_MS = 20_000;
const KEPT_MS = 30_000;
const FLOOR_DB = -60;
const STILL_MS = 500; // between pictures, for people who want no motion

export class Meter {
  levels = []; // {ms, height}
  voice = []; // {connection, ms, probability}
  turns = []; // {connection, turn}
  now_ms = 0;
  bounds = { start: 0.5, end: 0.25 };

  constructor() {
    this.canvas = $("meter");
    this.context = this.canvas.getContext("2d");
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.readColours());
    new ResizeObserver(() => this.resize()).observe(this.canvas);
    this.readColours();
  }

  hear(ms, peak) {
    this.now_ms = ms;
    const db = 20 * Math.log10(peak || 1e-6);
    this.level_db = db;
    this.levels.push({ ms, height: Math.max(0, 1 - db / FLOOR_DB) });
    while (this.levels[0].ms < ms - KEPT_MS) this.levels.shift();
  }

  score(connection, { audio_start_ms, window_ms, probabilities }) {
    probabilities.forEach((probability, place) =>
      this.voice.push({ connection, ms: audio_start_ms + window_ms * (place + 1), probability }));
    this.probability = probabilities.at(-1);
    while (this.voice.length && this.at(this.voice[0]) < this.now_ms - KEPT_MS) this.voice.shift();
  }

  mark(connection, turn) {
    if (!this.turns.some((mark) => mark.turn === turn)) this.turns.push({ connection, turn });
    this.turns = this.turns.filter((mark) => mark.turn.end_ms === null || mark.connection.origin_ms + mark.turn.end_ms > this.now_ms - KEPT_MS);
  }

  at({ connection, ms }) {
    return connection.origin_ms + ms;
  }

  run() {
    this.running = true;
    const step = () => {
      if (!this.running) return;
      this.draw();
      if (this.calm.matches) setTimeout(step, STILL_MS);
      else requestAnimationFrame(step);
    };
    step();
  }

  stop() {
    this.running = false;
    this.draw();
    $("reading").textContent = "";
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    this.colours = { level: colour("level"), voice: colour("voice"), turn: colour("turn"), edge: colour("accent"), soft: colour("soft"), line: colour("line") };
    this.draw();
  }

  resize() {
    const scale = devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.round(this.width * scale);
    this.canvas.height = Math.round(this.height * scale);
    this.context.setTransform(scale, 0, 0, scale, 0, 0);
    this.draw();
  }

  x(ms) {
    return this.width - ((this.now_ms - ms) / SPAN_MS) * this.width;
  }

  y(share) {
    const top = 18, bottom = 18; // turn numbers above, times below
    return top + (1 - share) * (this.height - top - bottom);
  }

  draw() {
    if (!this.width) return;
    const { context } = this;
    context.clearRect(0, 0, this.width, this.height);
    context.font = "11px system-ui, sans-serif";
    this.drawTurns(context);
    this.drawLevels(context);
    this.drawBounds(context);
    this.drawVoice(context);
    this.drawTimes(context);
    if (this.running) {
      const voice = this.probability === undefined ? "" : ` · voice ${this.probability.toFixed(2)}`;
      $("reading").textContent = `level ${Math.max(FLOOR_DB, this.level_db ?? FLOOR_DB).toFixed(0)} dB${voice}`;
    }
  }

  drawTurns(context) {
    for (const { connection, turn } of this.turns) {
      if (turn.start_ms === null) continue;
      const from = this.x(connection.origin_ms + turn.start_ms);
      const to = turn.end_ms === null ? this.width : this.x(connection.origin_ms + turn.end_ms);
      if (to < 0) continue;
      context.fillStyle = this.colours.turn;
      context.fillRect(from, 0, to - from, this.y(0));
      context.fillStyle = this.colours.edge;
      context.fillRect(from, 0, 1.5, this.y(0));
      if (turn.end_ms !== null) context.fillRect(to - 1.5, 0, 1.5, this.y(0));
      context.fillText(String(turn.number), Math.max(from, 0) + 5, 13);
    }
  }

  drawLevels(context) {
    context.fillStyle = this.colours.level;
    const bar = (40 / SPAN_MS) * this.width;
    for (const { ms, height } of this.levels) {
      const right = this.x(ms);
      if (right > 0) context.fillRect(right - bar, this.y(height * 0.9), Math.max(bar - 0.5, 1), this.y(0) - this.y(height * 0.9));
    }
  }

  drawBounds(context) {
    context.strokeStyle = this.colours.soft;
    context.setLineDash([3, 4]);
    for (const share of [this.bounds.start, this.bounds.end]) {
      if (share === null) continue;
      context.beginPath();
      context.moveTo(0, this.y(share));
      context.lineTo(this.width, this.y(share));
      context.stroke();
    }
    context.setLineDash([]);
  }

  drawVoice(context) {
    context.strokeStyle = this.colours.voice;
    context.lineWidth = 1.75;
    context.lineJoin = "round";
    context.beginPath();
    let before = null;
    for (const point of this.voice) {
      const joined = before && before.connection === point.connection && point.ms - before.ms < 200;
      const [x, y] = [this.x(this.at(point)), this.y(point.probability)];
      if (joined) context.lineTo(x, y);
      else context.moveTo(x, y);
      before = point;
    }
    context.stroke();
    context.lineWidth = 1;
  }

  drawTimes(context) {
    context.fillStyle = this.colours.line;
    context.fillRect(0, this.y(0), this.width, 1);
    context.fillStyle = this.colours.soft;
    const origin = this.connection?.origin_ms ?? 0;
    for (let ms = Math.max(0, Math.ceil((this.now_ms - SPAN_MS - origin) / 5000) * 5000); ms + origin <= this.now_ms; ms += 5000) {
      const x = this.x(ms + origin);
      context.fillRect(x, this.y(0), 1, 4);
      context.fillText(clock(ms).replace(".0", ""), x + 4, this.height - 5);
    }
  }
}
