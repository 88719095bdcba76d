"""Noise reduction: 16 kHz samples -> the same number of samples, with the steady noise among them turned down.

Frames of 32 ms, every 16 ms, Fourier transformed, weighted and added up again. Three steps find the weights:

    noise    the power of the noise in each of 257 bins, followed by the probability that a bin holds speech:
             T. Gerkmann and R. C. Hendriks, "Unbiased MMSE-Based Noise Power Estimation With Low Complexity and Low
             Tracking Delay", IEEE Trans. Audio, Speech and Language Processing 20 (4), 2012, with its constants
    gains    one a band, 20 bands even on the ear's scale (Glasberg and Moore, 1990): Wiener's, snr / (1 + snr), where
             the ratio, of the power beyond what noise alone would do, rises at once and falls over RELEASE_S (from
             15 dB at most, or a shout would open it for long); never below the depth of the kind
    depth    less, the further the loudest of late stands above the noise: what is hardly noisy is left alone

The slow fall is what recognisers need. Suppressors made for ears follow each bin from frame to frame, and what they
leave comes and goes like music, which costs Moonshine more words than the noise did (docs/noise.md). Here the words
pass through what is nearly a fixed filter, which shuts the bands where the voice has nothing to say.

Rule: sample k out is for sample k in, so times hold; the output depends on the input alone, to the bit, and never on
how it was cut into chunks. Held back are 256 to 511 samples (16 to 32 ms). Refuses: to let out what exceeds full scale.
"""

from __future__ import annotations

import copy
import math
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["near_field", "far_field"]

# The most that noise is turned down. A close microphone picks up little of the room; across it, much is noise.
_DEPTH_DB: Final[dict[Kind, float]] = {"near_field": 9.0, "far_field": 12.0}
# How much more softly the voice detector hears the audio, which it hears with its noise. Level is one of its cues: who
# speaks into a close microphone is loud, and who sits across the room may not be.
_SOFTER_DB: Final[dict[Kind, float]] = {"near_field": 9.0, "far_field": 6.0}

RATE: Final = 16_000
_FRAME: Final = 512
_HOP: Final = _FRAME // 2
_BINS: Final = _FRAME // 2 + 1
_BANDS: Final = 20
_RUMBLE_BINS: Final = 2  # below 47 Hz nobody speaks
RELEASE_S: Final = 1.0
_KEPT: Final = np.float32(np.exp(-_HOP / RATE / RELEASE_S))

# Where speech at its loudest is so far above the noise, nothing is turned down; from the second on, as far as it goes.
_CLEAR_DB: Final = 24.0
_NOISY_DB: Final = 16.0
_LOUDEST_KEPT: Final = math.exp(-_HOP / RATE / 5.0)

# Gerkmann and Hendriks: speech, where it is present, is taken to be 15 dB above the noise.
_SPEECH_SNR: Final = np.float32(10**1.5)
_EVIDENCE: Final = _SPEECH_SNR / (1 + _SPEECH_SNR)
_MAX_EVIDENCE: Final = np.float32(50)  # keeps exp within float32
_NOISE_KEPT: Final = np.float32(0.8)
_PROBABILITY_KEPT: Final = np.float32(0.9)
_STUCK: Final = np.float32(0.99)  # "speech" all the time is noise that became louder
_FIRST_FRAMES: Final = 4  # the least of these is the first estimate; speech in it is forgotten in the next pause
_LEAST_POWER: Final = np.float32(1e-9)  # well below the power of one step of 16 bits

# Its square adds up to one over frames half a frame apart.
_WINDOW: Final = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FRAME) / _FRAME)).astype(np.float32)


class Denoiser:
    """One stream of mono float32 at 16 kHz. `strength`, 0 to 1, is the share of the depth in dB; 0 changes nothing."""

    def __init__(self, kind: Kind, strength: float) -> None:
        self.set(kind, strength)
        self._held = np.zeros(_FRAME - _HOP, np.float32)  # before the start was silence
        self._overlap = np.zeros(_HOP, np.float32)
        self._early = _HOP  # outputs still to come that lie before the start
        self._frames = 0
        self._noise = np.zeros(_BINS, np.float32)
        self._probability = np.full(_BINS, 0.5, np.float32)
        self._snr = np.zeros(_BANDS, np.float32)
        self._loudest = 0.0  # power of the loudest frame of late, all bins together

    def set(self, kind: Kind, strength: float) -> None:
        """From the next frame on; what is known of the noise stays."""
        self._depth_db = strength * _DEPTH_DB[kind]
        self._detector_gain = np.float32(10 ** (-strength * _SOFTER_DB[kind] / 20))

    def for_detector(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the voice detector should hear of `audio`: [n] -> [n], at once."""
        return audio * self._detector_gain

    def push(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take float32 [n] and return the samples that are complete: [m] in [-1, 1], m perhaps 0."""
        held = np.concatenate((self._held, audio), dtype=np.float32)
        count = (len(held) - _FRAME) // _HOP + 1  # 0 or more, as a whole frame less a hop is always held
        result = np.empty(count * _HOP, np.float32)
        for start in range(0, len(result), _HOP):
            frame = self._weigh(held[start : start + _FRAME])
            result[start : start + _HOP] = self._overlap + frame[:_HOP]
            self._overlap = frame[_HOP:]
        self._held = held[len(result) :].copy()
        early = min(self._early, len(result))
        self._early -= early
        return np.clip(result[early:], -1, 1)

    def tail(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is held back and `audio`, as if silence followed; the state stays as it is, as if never asked."""
        ahead = copy.copy(self)  # enough, for a step replaces arrays and never writes into them
        return np.concatenate((ahead.push(audio), ahead.flush()))

    def flush(self) -> NDArray[np.float32]:
        """The samples still held back, as if silence followed. That ends the stream."""
        held_back = len(self._held) - self._early
        return self.push(np.zeros(_FRAME, np.float32))[:held_back]

    def _weigh(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        spectrum = np.fft.rfft(frame * _WINDOW).astype(np.complex64, copy=False)
        power = spectrum.real**2 + spectrum.imag**2 + _LEAST_POWER
        self._follow(power)
        snr = np.clip((_WEIGHTS @ power) / (_WEIGHTS @ self._noise) - _NOISE_ALONE, 0, _SPEECH_SNR)
        self._snr = np.maximum(snr, _KEPT * self._snr + (1 - _KEPT) * snr)
        least_gain = self._floor(float(power.sum()))
        gains = np.maximum(self._snr / (1 + self._snr), least_gain)
        weights = gains @ _SPREAD
        weights[:_RUMBLE_BINS] = least_gain
        weighed = np.fft.irfft(spectrum * weights, _FRAME).astype(np.float32, copy=False)
        return weighed * _WINDOW

    def _floor(self, power: float) -> np.float32:
        """How far noise is turned down now, in a frame of this power."""
        self._loudest = max(power, _LOUDEST_KEPT * self._loudest)
        clearness_db = 10 * math.log10(self._loudest / float(self._noise.sum()))
        share = (_CLEAR_DB - clearness_db) / (_CLEAR_DB - _NOISY_DB)
        return np.float32(10 ** (-min(max(share, 0.0), 1.0) * self._depth_db / 20))

    def _follow(self, power: NDArray[np.float32]) -> None:
        """Bring the noise up to date."""
        self._frames += 1
        if self._frames <= _FIRST_FRAMES:
            # The first frame is half silence, from before the start.
            self._noise = power if self._frames <= 2 else np.minimum(self._noise, power)
            return
        evidence = np.minimum(power / self._noise * _EVIDENCE, _MAX_EVIDENCE)
        speech = 1 / (1 + (1 + _SPEECH_SNR) * np.exp(-evidence))
        self._probability = _PROBABILITY_KEPT * self._probability + (1 - _PROBABILITY_KEPT) * speech
        speech = np.where(self._probability > _STUCK, np.minimum(speech, _STUCK), speech)
        update = speech * self._noise + (1 - speech) * power
        self._noise = _NOISE_KEPT * self._noise + (1 - _NOISE_KEPT) * update


def _triangles() -> NDArray[np.float64]:
    """[bands, bins]: how far each bin belongs to each band; the bands of a bin add up to 1."""
    scale = 21.4 * np.log10(1 + 0.00437 * np.arange(_BINS) * RATE / _FRAME)
    centres = np.linspace(0, scale[-1], _BANDS)
    shares = np.maximum(1 - np.abs(scale - centres[:, None]) / (centres[1] - centres[0]), 0)
    even: NDArray[np.float64] = shares / shares.sum(axis=0)
    return even


_SPREAD: Final = _triangles().astype(np.float32)
_WEIGHTS: Final = (_SPREAD / _SPREAD.sum(axis=1, keepdims=True)).astype(np.float32)
# A bin of noise has a deviation as large as its mean; a mean of bins, one smaller by the root of their number. Noise
# exceeds two deviations rarely.
_NOISE_ALONE: Final = (1 + 2 * np.sqrt((_WEIGHTS**2).sum(axis=1))).astype(np.float32)
