"""OpenWhispr (contract G.2): dictation by `ws`, with audio kept back while the connection is made.

It sends its settings when `session.created` has come, unless a client secret carries them, and is ready with
`session.updated`: all within 15 s. On stop it commits and waits until a turn has ended, or for an error of a buffer too
small, for server_vad had committed everything. It pings every 15 s and gives up where no pong comes.
"""

from replays.heads import node
from replays.line import COMPLETED, DELTA, Line

READY_S, PING_S = 15, 15
SETTLED_S, LIVE_SETTLED_S = 3, 30
CHUNK = 4_800
COLD = 96_000  # of audio that was recorded while there was no connection yet; it keeps at most 3 s
COMMITTED = "input_audio_buffer.committed"
EMPTY = ("buffer too small", "commit_empty")
LIVE = "gpt-live-transcribe"


def url(base, model):
    """The socket of a base URL, as its settings take it: `/v1` with or without a slash, or the realtime URL itself."""
    root = base.rstrip("/")
    path = root[root.index("/", len("http://")) :]
    return f"{path if path.endswith('/realtime') else f'{path}/realtime'}?intent=transcription&model={model}"


def settings(model):
    vad = {"type": "server_vad", "threshold": 0.6, "silence_duration_ms": 600, "prefix_padding_ms": 500}
    heard = {"format": {"type": "audio/pcm", "rate": 24_000}, "transcription": {"model": model}}
    return {
        "type": "transcription",
        "audio": {"input": heard | {"turn_detection": None if model.startswith(LIVE) else vad}},
    }


def dictate(server, base, key, audio, *, model="gpt-4o-mini-transcribe", preconfigured=False, last_word=None):
    """What it types, and the line after its end. `last_word`: who speaks sees it, and only then stops."""
    with Line(server, node(url(base, model), "Authorization: Bearer <token>"), token=key) as line:
        line.append(audio[:COLD], CHUNK)  # the socket is open, and it asks for no more
        line.wait("session.created", within_s=READY_S)
        if not preconfigured:
            line.send("session.update", session=settings(model))
        line.append(audio[COLD:], CHUNK)
        if not preconfigured:
            line.wait("session.updated", within_s=READY_S)
        line.ping(PING_S)
        while _open(line.events):  # turns that ended long before one stops
            line.wait(COMPLETED)
        if last_word:
            line.wait_for_word(last_word)
        line.send("input_audio_buffer.commit")
        _settle(line, LIVE_SETTLED_S if model.startswith(LIVE) else SETTLED_S)
        line.end = line.close()
        return _typed(line.events), line


def _open(events):
    ended = {event["item_id"] for event in events if event["type"] == COMPLETED}
    return {event["item_id"] for event in events if event["type"] == COMMITTED} - ended


def _settle(line, within_s):
    while (event := line.receive(within_s))["type"] != COMPLETED:
        if event["type"] == "error":
            assert any(sign in event["error"]["message"] for sign in EMPTY), event
            return


def _typed(events):
    """It has one accumulator of deltas, so no two turns may mix, and shows what it holds while one speaks."""
    partial, segments = "", []
    for event in events:
        if event["type"] == DELTA:
            partial += event["delta"]
        elif event["type"] == COMPLETED:
            assert partial == event["transcript"]
            segments.append(event["transcript"].strip())
            partial = ""
    return " ".join(filter(None, segments))
