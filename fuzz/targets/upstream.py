"""What a stranger's server answers, and subtitles made of it: models/upstream/answers.py, protocol/subtitles.py.

The tokens of a hypothesis join to its text, its times go forward within the audio, and cues never overlap.
"""

import json

from hark.models.upstream import answers
from hark.protocol.subtitles import LINE_CHARS, Spoken, cues, to_json, to_srt, to_text, to_vtt

SAMPLES = 16_000 * 20
WORDS = [{"word": "Open", "start": 0.1, "end": 0.4}, {"word": "pod", "start": 0.5, "end": 0.9}]
TOKENS = [
    *(f'"{name}":'.encode() for name in ("text", "words", "word", "start", "end", "start_ms", "segments", "logprobs")),
    b'"token":', b'"logprob":', b'"bytes":', b'"languages":', b'"code":', b'"language":"german"', b"-->", b"\\n\\n",
    b"1e999", b"NaN", b"-1e308", b"\xe2\x80\xa8", b"\xc4\xb0", b"\xef\xac\x81",
]  # fmt: skip


def seeds():
    segments = [{"text": " Open the pod", "avg_logprob": -0.2}, {"text": " bay doors.", "avg_logprob": -3}]
    tokens = [{"token": "Open", "logprob": -0.1, "bytes": [79, 112, 101, 110]}, {"token": " é", "logprob": -1}]
    yield "plain", b'{"text":"Open the pod bay doors."}'
    yield "verbose", json.dumps({"text": "Open the pod bay doors.", "words": WORDS, "segments": segments}).encode()
    yield "logprobs", json.dumps({"text": "Open é", "logprobs": tokens, "languages": [{"code": "en"}]}).encode()
    yield "long", json.dumps({"text": "One, two; three. " * 30, "language": "english"}).encode()


def check(data):
    heard = answers.read(data)
    if heard is None:
        return
    hypothesis = answers.hypothesis(heard, SAMPLES)
    # Space of any kind becomes one space (models/cutting.py).
    assert "".join(token.text for token in hypothesis.tokens).split() == heard.text.split(), (
        "the tokens do not join to the text"
    )
    reached = 0
    for token in hypothesis.tokens:
        assert token.logprob is None or -100 <= token.logprob <= 0
        if token.start is not None:
            assert reached <= token.start <= token.end <= SAMPLES, "times go back, or out of the audio"
            reached = token.start
    _subtitles(heard.text)


def _subtitles(text):
    turns = [Spoken(0, 4_000, text), Spoken(3_000, 3_000, text), Spoken(100, 90_000, text[:500])]
    reached = 0
    for cue in cues(turns):
        assert reached <= cue.start_ms <= cue.end_ms, "cues overlap"
        assert cue.lines
        assert all(len(line) <= LINE_CHARS and line.split() for line in cue.lines)
        reached = cue.end_ms
    srt, vtt = to_srt(turns, 90_000), to_vtt(turns, 90_000)
    assert srt.count(" --> ") >= len(cues(turns)) == vtt.count(" --> ")
    json.loads(to_json(turns, 90_000))
    assert to_text(turns, 90_000).count(text) >= 1
