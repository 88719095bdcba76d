"""Files to upload, and requests that carry them."""

import io
import wave

import av
import httpx
import numpy as np

from hark.audio.formats import decode
from serving import PATIENCE_S, speech

URL = "/v1/audio/transcriptions"
SAID = "alpha bravo charlie"


def pcm(rate=16_000):
    """SAID, in two turns."""
    return speech("alpha", "bravo", rate=rate, pause_s=0.9) + speech("charlie", rate=rate, pause_s=0.2)


def wav(audio=None, rate=16_000):
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, rate, 0, "NONE", ""))
        writer.writeframes(pcm(rate) if audio is None else audio)
    return file.getvalue()


def encoded(audio, container, codec, rate=48_000):
    """pcm16 bytes at this rate, in a container."""
    samples = decode(audio, "pcm16")
    frame = av.AudioFrame.from_ndarray(np.asarray(samples, np.float32)[None], "fltp", "mono")
    frame.sample_rate = rate
    file = io.BytesIO()
    with av.open(file, "w", container) as target:
        stream = target.add_stream(codec, rate=rate, layout="mono")
        context = stream.codec_context
        fit = av.AudioResampler(context.format, "mono", rate, frame_size=context.frame_size or 0)
        for piece in [*fit.resample(frame), *fit.resample(None)]:
            target.mux(stream.encode(piece))
        target.mux(stream.encode(None))
    return file.getvalue()


def post(server, *fields, file=None, url=URL, **options):
    """Fields are pairs; `file` is bytes, False for none."""
    parts = [(name, (None, value)) for name, value in fields]
    if file is not False:
        parts.append(("file", ("a.wav", wav() if file is None else file)))
    if not parts:
        parts = [("nothing", (None, ""))]
    # Without `verify` each call would load every certificate there is, which takes longer than the request.
    return httpx.post(server.url + url, files=parts, timeout=PATIENCE_S, verify=False, **options)
