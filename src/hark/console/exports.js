// A recording's turns -> files: text, SRT, WebVTT, JSON. The forms are those of `hark transcribe`, a turn a cue; turns may
// overlap by their padding, and cues do not.

const words = (recording) => recording.turns.filter((turn) => turn.outcome === "completed" && turn.text);

function cues(recording) {
  const turns = words(recording).filter((turn) => turn.start_ms !== null && turn.end_ms !== null);
  return turns.map((turn, place) => ({
    ...turn,
    end_ms: Math.max(turn.start_ms, Math.min(turn.end_ms, turns[place + 1]?.start_ms ?? Infinity)),
  }));
}

function time(ms, point) {
  const part = (value, digits = 2) => String(Math.floor(value)).padStart(digits, "0");
  return `${part(ms / 3_600_000)}:${part((ms / 60_000) % 60)}:${part((ms / 1000) % 60)}${point}${part(ms % 1000, 3)}`;
}

const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

export const FORMS = {
  TXT: {
    type: "text/plain",
    write: (recording) => words(recording).map((turn) => `${turn.text}\n`).join(""),
  },
  SRT: {
    type: "application/x-subrip",
    write: (recording) => cues(recording).map((cue, place) =>
      `${place + 1}\n${time(cue.start_ms, ",")} --> ${time(cue.end_ms, ",")}\n${cue.text}\n`).join("\n"),
  },
  VTT: {
    type: "text/vtt",
    write: (recording) => "WEBVTT\n" + cues(recording).map((cue) =>
      `\n${time(cue.start_ms, ".")} --> ${time(cue.end_ms, ".")}\n${escape(cue.text)}\n`).join(""),
  },
  JSON: {
    type: "application/json",
    write: (recording) => JSON.stringify({
      text: words(recording).map((turn) => turn.text).join(" "),
      turns: words(recording).map((turn) => ({
        start: turn.start_ms === null ? null : turn.start_ms / 1000,
        end: turn.end_ms === null ? null : turn.end_ms / 1000,
        text: turn.text,
        latency_ms: turn.latency_ms === null ? null : Math.round(turn.latency_ms),
      })),
    }, null, 2) + "\n",
  },
};

/** "Microphone, 14:02" -> "microphone-14-02.srt" */
export function fileName(recording, form) {
  const stem = recording.name.toLowerCase().replace(/\.\w{1,5}$/, "").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
  return `${stem || "transcript"}.${form.toLowerCase()}`;
}
