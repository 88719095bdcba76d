// The server's events -> turns. No page in here. Rule: a turn is found by its item id, whatever event names it first; deltas
// only ever add, and `completed` has the last word.

const TRANSCRIPTION = "conversation.item.input_audio_transcription.";

/** What was said in one go from Start to Stop, or in one file. Times are on its own audio clock. */
export class Recording {
  constructor(name) {
    this.name = name;
    this.turns = []; // the finished ones, in order
    this.open = new Map(); // by item id, in order
    this.count = 0;
  }

  /** Take an event; the turn that it changed, and whether that is finished now. `now` in milliseconds. */
  take(event, now) {
    const change = STEPS[event.type];
    if (!change || !event.item_id) return null;
    const turn = this.open.get(event.item_id) ?? this.begin(event);
    change(turn, event, now);
    if (!turn.outcome) return { turn, finished: false };
    this.open.delete(turn.id);
    this.turns.push(turn);
    return { turn, finished: true };
  }

  begin({ item_id: id }) {
    this.count += 1;
    const turn = { id, number: this.count, text: "", start_ms: null, end_ms: null, ended_at: null, latency_ms: null, outcome: null };
    this.open.set(id, turn);
    return turn;
  }

  /** The connection is lost: what is open will never be finished. */
  abandon(why) {
    const left = [...this.open.values()];
    for (const turn of left) Object.assign(turn, { outcome: "failed", why });
    this.open.clear();
    this.turns.push(...left);
    return left;
  }
}

const STEPS = {
  "input_audio_buffer.speech_started": (turn, event) => { turn.start_ms = event.audio_start_ms; },
  "input_audio_buffer.speech_stopped": (turn, event, now) => {
    turn.end_ms = event.audio_end_ms;
    turn.ended_at = now;
  },
  "input_audio_buffer.committed": (turn, event, now) => { turn.ended_at ??= now; },
  [`${TRANSCRIPTION}delta`]: (turn, event) => { turn.text += event.delta; },
  [`${TRANSCRIPTION}completed`]: (turn, event, now) => {
    Object.assign(turn, { text: event.transcript.trim(), outcome: "completed" });
    turn.start_ms = event.start_ms ?? turn.start_ms;
    turn.end_ms = event.end_ms ?? turn.end_ms;
    if (turn.ended_at !== null) turn.latency_ms = now - turn.ended_at;
  },
  [`${TRANSCRIPTION}failed`]: (turn, event) => Object.assign(turn, { outcome: "failed", why: event.error.message }),
};
