"""Wire bytes -> audio by sample number -> voice scores by window number.

With noise reduction, `buffer` holds what the recogniser hears, and the voice detector hears the audio as it came, only
softer: it was trained among noises, and what a suppressor leaves of them sounds to it like speech (docs/noise.md). Both
have the same sample numbers, and a window is scored when both have it.

Rule: window w covers samples [512 w, 512 w + 512) of the session, whatever the chunks were; windows are scored in order
and each once. If the scorer fails or does not answer, its windows count as speech and the session goes on: a model is
then asked in vain, and no word is lost.
"""

from __future__ import annotations

from math import isnan
from typing import Final

from msgspec import structs

from hark.audio.denoise import Denoiser
from hark.audio.intake import Intake
from hark.core.messages import AppendAudio
from hark.core.settings import AudioFormat, NoiseReduction
from hark.core.work import WINDOW_SAMPLES, Audio, Result, ScoreVoice, VoiceScored, VoiceState
from hark.session.buffer import NO_AUDIO, AudioBuffer
from hark.session.lane import Lane

# A session that appends a whole file at once takes its turn with the others every 4 s of audio.
MAX_WINDOWS: Final = 125
# A minute: resampling it takes some 10 ms, which is as long as one session may hold up the others.
FULL_WINDOWS: Final = 15 * MAX_WINDOWS
# Noise reduction takes ten times as long as resampling, so with it less is taken in at once.
FULL_WINDOWS_DENOISED: Final = MAX_WINDOWS
SCORER_PATIENCE_S: Final = 5.0
UNKNOWN: Final = 1.0
# A large append is taken in by pieces (5 s of pcm16 at 24 kHz), so that it holds up no other session.
PIECE_BYTES: Final = 256 * 1024


def pieces(append: AppendAudio) -> list[AppendAudio]:
    """The same audio, PIECE_BYTES at a time."""
    audio = append.audio
    if len(audio) <= PIECE_BYTES:
        return [append]
    return [structs.replace(append, audio=audio[at : at + PIECE_BYTES]) for at in range(0, len(audio), PIECE_BYTES)]


class FrontEnd:
    def __init__(self, audio_format: AudioFormat, noise: NoiseReduction | None = None) -> None:
        self.buffer = AudioBuffer()
        self._voice = self.buffer  # what the detector hears; a buffer of its own once noise has been reduced
        self._denoiser: Denoiser | None = None
        self.lane = Lane(SCORER_PATIENCE_S)
        self._intake = Intake(audio_format.encoding, audio_format.rate)
        self._state: VoiceState = None
        self._next_window = 0
        self._asked = 0  # windows in the request in flight
        self._reduce(noise)

    @property
    def position(self) -> int:
        """How many samples at 16 kHz the client has appended, to the last one."""
        return self._intake.position

    @property
    def scored(self) -> int:
        """The samples before this one have been scored."""
        return self._next_window * WINDOW_SAMPLES

    @property
    def caught_up(self) -> bool:
        """Whether every whole window has been scored."""
        return self._waiting == 0

    @property
    def full(self) -> bool:
        """Whether so much waits to be scored that no more should be taken in at once."""
        return self._waiting >= (FULL_WINDOWS if self._denoiser is None else FULL_WINDOWS_DENOISED)

    def take_notice(self) -> str | None:
        """What the intake has noticed about the audio, once."""
        notice, self._intake.notice = self._intake.notice, None
        return notice

    def append(self, data: bytes, audio_format: AudioFormat | None = None) -> None:
        """Take in bytes, in this format from now on, or in that of those before."""
        if audio_format is not None and not self._intake.reads(audio_format.encoding, audio_format.rate):
            self._take(self._intake.switch(audio_format.encoding, audio_format.rate))
        self._take(self._intake.push(data))

    def realign(self) -> None:
        """The next bytes begin with a whole sample."""
        self._intake.realign()

    def switch(self, audio_format: AudioFormat, noise: NoiseReduction | None) -> None:
        """What is appended from now on is in this format, and its noise is reduced like this."""
        self._take(self._intake.switch(audio_format.encoding, audio_format.rate))
        self._reduce(noise)

    def tail_until(self, end: int) -> Audio:
        """The samples from the buffer's end to `end`, `position` at most, as if silence followed: resampler and
        denoiser hold them back, and give their places anew when more comes."""
        missing = max(0, end - self.buffer.end)
        audio = self._intake.tail() if missing else NO_AUDIO
        if missing and self._denoiser is not None:
            audio = self._denoiser.tail(audio)
        return audio[:missing]

    def _take(self, audio: Audio) -> None:
        denoiser = self._denoiser
        if self._voice is not self.buffer:
            self._voice.append(audio if denoiser is None else denoiser.for_detector(audio))
        self.buffer.append(audio if denoiser is None else denoiser.push(audio))

    def _reduce(self, noise: NoiseReduction | None) -> None:
        """A denoiser that goes on keeps what it knows of the noise; one that ends hands over what it holds back."""
        if noise is None or noise.strength == 0:
            if self._denoiser is not None:
                self.buffer.append(self._denoiser.flush())
            self._denoiser = None
        elif self._denoiser is not None:
            self._denoiser.set(noise.type, noise.strength)
        else:
            self._denoiser = Denoiser(noise.type, noise.strength)
            if self._voice is self.buffer:
                self._voice = AudioBuffer(self.scored)
                self._voice.append(self.buffer.slice(self.scored, self.buffer.end))

    def request(self, work_id: int, now: float) -> ScoreVoice | None:
        """The next request for scores, if one is due."""
        waiting = self._waiting
        if not waiting or not self.lane.idle:
            return None
        self._asked = min(waiting, MAX_WINDOWS)
        self.lane.launch(work_id, now)
        first, last = self.scored, self.scored + self._asked * WINDOW_SAMPLES
        audio = self._voice.slice(first, last)
        if self._voice is not self.buffer:
            self._voice.drop_before(last)
        return ScoreVoice(work_id, audio, self._state)

    def accept(self, result: Result) -> list[tuple[int, float]]:
        """(window, probability) for each window that `result` scores."""
        if not self.lane.settle(result):
            return []
        if not isinstance(result, VoiceScored) or len(result.probabilities) != self._asked:
            return self._unknown(self._asked)
        probabilities: list[float] = result.probabilities.tolist()
        if isnan(sum(probabilities)):
            return self._unknown(self._asked)  # with its state, or all that follows would be NaN too
        self._state = result.state
        return self._number(probabilities)

    def give_up(self) -> list[tuple[int, float]]:
        """The scorer did not answer in time: every window that waits for it, so that nobody waits so long twice."""
        self.lane.abandon()
        return self._unknown(self._waiting)

    @property
    def _waiting(self) -> int:
        return self.buffer.end // WINDOW_SAMPLES - self._next_window

    def _unknown(self, windows: int) -> list[tuple[int, float]]:
        self._state = None
        return self._number([UNKNOWN] * windows)

    def _number(self, probabilities: list[float]) -> list[tuple[int, float]]:
        first = self._next_window
        self._next_window += len(probabilities)
        return list(enumerate(probabilities, first))
