"""Where turns end: how often in mid-sentence, and how long after the talker is done, in each mode of turn detection.

    python benchmarks/turns.py DIR [--json FILE] [--max-seconds S]

DIR holds manifest.jsonl (fields as in docs/accuracy.md) and the audio it names; pauses.py makes streams of it in which
it is known where a sentence goes on and where it ends. Each stream is appended to a session of the server's own code,
in windows of 32 ms, as fast as it goes. Voice scores and judgements of pauses come from the real models; a judgement is
delivered when as much more audio has been appended as it took, so what is measured is what a client in real time sees.

    wrong_end_share     of the pauses in mid-sentence, how many ended the turn
    delay_ms            from the end of speech until speech_stopped leaves: the silence that was waited for, up to 32 ms
                        to the end of its window, and the time of the judge where it was waited for. Scores and the
                        network are not in it. The end of speech is found by loudness, so it depends on no model
    audio_delay_ms      the same on the audio clock: the audio_end_ms of speech_stopped less the end of speech
    no_speech_empty     of the clips without speech, how many gave no text
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from accuracy import machine
from hark.audio.files import read_audio
from hark.core import messages as m
from hark.core.settings import AudioFormat, ModelCard, SessionSettings, TurnDetection
from hark.core.work import (
    SAMPLE_RATE,
    WINDOW_SAMPLES,
    Audio,
    Hypothesis,
    JudgeTurn,
    Result,
    ScoreVoice,
    Transcribe,
    Transcribed,
    TurnJudged,
    VoiceScored,
    Work,
)
from hark.models.base import LoadOptions, Utterance
from hark.models.files.pull import models_folder
from hark.models.moonshine.engine import plugin as moonshine
from hark.models.silero.scorer import Silero
from hark.models.smart_turn import SmartTurn
from hark.session.session import Session
from pauses import LONGEST_S, Clip, Moment, Stream, streams

MODES: Final[dict[str, TurnDetection | None]] = {
    "server_vad_200": TurnDetection(silence_duration_ms=200),
    "server_vad_500": TurnDetection(silence_duration_ms=500),
    "server_vad_800": TurnDetection(silence_duration_ms=800),
    "semantic_vad_low": TurnDetection(type="semantic_vad", eagerness="low"),
    "semantic_vad_medium": TurnDetection(type="semantic_vad", eagerness="medium"),
    "semantic_vad_high": TurnDetection(type="semantic_vad", eagerness="high"),
    "semantic_vad_auto": TurnDetection(type="semantic_vad", eagerness="auto"),
}
MANUAL: Final = "manual"
DELAYS: Final = ("delay_ms_median", "delay_ms_p95", "audio_delay_ms_median", "audio_delay_ms_p95")
PCM: Final = AudioFormat("pcm16", SAMPLE_RATE)


class Models:
    """The real models, each asked once for the same audio."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._scorer = Silero(LoadOptions(folder))
        self._judge = SmartTurn(LoadOptions(folder))
        self._engine = moonshine()[0].load(LoadOptions(folder, threads=threads))
        self._judged: dict[bytes, tuple[float, float]] = {}
        self.judge_s: list[float] = []

    def score(self, audio: Audio) -> list[float]:
        whole = audio[: len(audio) // WINDOW_SAMPLES * WINDOW_SAMPLES]
        ((probabilities, _),) = self._scorer.score([(whole, None)])
        return [float(probability) for probability in probabilities]

    def judge(self, audio: Audio) -> tuple[float, float]:
        """The probability, and how many seconds it took."""
        key = audio.tobytes()
        if key not in self._judged:
            start = time.perf_counter()
            (probability,) = self._judge.judge([audio])
            self._judged[key] = probability, time.perf_counter() - start
            self.judge_s.append(self._judged[key][1])
        return self._judged[key]

    def transcribe(self, audio: Audio) -> Hypothesis:
        return self._engine.transcribe([Utterance(audio)])[0]


class Play:
    """One stream through one session. The clock is how much audio was appended."""

    def __init__(self, models: Models, mode: TurnDetection | None, scores: list[float], *, transcribe: bool) -> None:
        settings = SessionSettings(format=PCM, turn_detection=mode)
        view = m.SessionView("sess_0", 2_000_000_000, settings)
        self._session = Session(view, find_model=_card, new_id=partial(_new_id, iter(range(10**9))), now=0.0)
        self._models, self._scores, self._transcribe = models, scores, transcribe
        self._scored = 0
        self._late: list[tuple[int, Result]] = []  # judgements, with the sample at which they are delivered
        self._position = 0
        self.stopped: list[tuple[int, int]] = []  # (sample that it names, sample at which it left)
        self.text = ""

    def append(self, audio: Audio) -> None:
        self._position += len(audio)
        due = [result for at, result in self._late if at <= self._position]
        self._late = [(at, result) for at, result in self._late if at > self._position]
        for result in due:
            self.give(result)
        self.give(m.AppendAudio(audio=np.rint(audio * 32_767).clip(-32_768, 32_767).astype("<i2").tobytes()))

    def give(self, message: m.AnyCommand | Result) -> None:
        self._session.receive(message, self._position / SAMPLE_RATE)
        while outputs := self._session.outputs():
            for output in outputs:
                if isinstance(output, Work):
                    self._work(output)
                elif isinstance(output, m.SpeechStopped):
                    self.stopped.append((output.audio_end_ms * SAMPLE_RATE // 1000, self._position))
                elif isinstance(output, m.TranscriptCompleted):
                    self.text += output.transcript

    def finish(self) -> None:
        self.give(m.CommitAudio())
        for _, result in self._late:
            self.give(result)
        self.give(m.FinishSession())

    def _work(self, work: Work) -> None:
        match work:
            case ScoreVoice():
                count = len(work.audio) // WINDOW_SAMPLES
                scores = np.array(self._scores[self._scored : self._scored + count], np.float32)
                self._scored += count
                self._session.receive(VoiceScored(work.id, scores, None), self._position / SAMPLE_RATE)
            case JudgeTurn():
                probability, seconds = self._models.judge(work.audio)
                self._late.append((self._position + round(seconds * SAMPLE_RATE), TurnJudged(work.id, probability)))
            case Transcribe():
                heard = self._models.transcribe(work.audio) if self._transcribe else Hypothesis(())
                self._session.receive(Transcribed(work.id, heard), self._position / SAMPLE_RATE)


def _card(name: str | None) -> ModelCard:
    return ModelCard("moonshine-tiny-en", "moonshine-tiny-en")


def _new_id(numbers: Iterable[int], prefix: str) -> str:
    return f"{prefix}_{next(iter(numbers))}"


def played(models: Models, audio: Audio, mode: TurnDetection | None, scores: list[float], *, transcribe: bool) -> Play:
    play = Play(models, mode, scores, transcribe=transcribe)
    for at in range(0, len(audio), WINDOW_SAMPLES):
        play.append(audio[at : at + WINDOW_SAMPLES])
    if transcribe:
        play.finish()
    return play


class Tally:
    """What became of the moments of all streams in one mode."""

    def __init__(self) -> None:
        self.ended: dict[str, list[bool]] = {"recorded": [], "widened": [], "cut": []}
        self.delays: list[tuple[int, int]] = []  # samples: until it left, and on the audio clock
        self.never = 0

    def count(self, moment: Moment, stopped: list[tuple[int, int]]) -> None:
        within = [stop for stop in stopped if moment.since - WINDOW_SAMPLES < stop[0] <= moment.last]
        if moment.how != "end":
            self.ended[moment.how].append(bool(within))
        elif within:
            self.delays.append((within[0][1] - moment.first, within[0][0] - moment.first))
        else:
            self.never += 1

    def figures(self) -> dict[str, Any]:
        every = [wrong for ended in self.ended.values() for wrong in ended]
        left, audio = ([delay[kind] * 1000 / SAMPLE_RATE for delay in self.delays] for kind in (0, 1))
        return {
            "wrong_end_share": _share(every),
            "delay_ms_median": _quantile(left, 0.5),
            "delay_ms_p95": _quantile(left, 0.95),
            "audio_delay_ms_median": _quantile(audio, 0.5),
            "audio_delay_ms_p95": _quantile(audio, 0.95),
            "wrong_end_share_by_pause": {how: _share(ended) for how, ended in self.ended.items()},
            "pauses": {how: len(ended) for how, ended in self.ended.items()},
            "ends": len(self.delays),
            "never_ended": self.never,
        }


def _share(ended: list[bool]) -> float | None:
    return round(sum(ended) / len(ended), 4) if ended else None


def _quantile(values: list[float], share: float) -> int | None:
    return round(float(np.quantile(values, share))) if values else None


def measure(folder: Path, clips: list[Clip], models: Models, console: Console) -> dict[str, Any]:
    spoken = [clip for clip in clips if clip["language"] != "zxx"]
    made: list[Stream] = streams(folder, spoken, models.score, lambda audio: models.transcribe(audio).text)
    tallies = {mode: Tally() for mode in MODES}
    for stream in track(made, "streams", console=console, transient=True, disable=not console.is_terminal):
        scores = models.score(stream.audio)
        for mode, detection in MODES.items():
            play = played(models, stream.audio, detection, scores, transcribe=False)
            for moment in stream.moments:
                tallies[mode].count(moment, play.stopped)
    report: dict[str, Any] = {mode: tally.figures() for mode, tally in tallies.items()}
    report[MANUAL] = {}
    silent = [clip for clip in clips if clip.get("score") == "no-speech"]
    for mode, detection in {**MODES, MANUAL: None}.items():
        texts = {clip["id"]: _text(folder, clip, models, detection) for clip in silent}
        report[mode]["no_speech_empty"] = sum(not text for text in texts.values())
        report[mode]["no_speech_not_empty"] = sorted(name for name, text in texts.items() if text)
    report["no_speech_clips"] = len(silent)
    report["judge_ms_median"] = _quantile([1000 * took for took in models.judge_s], 0.5)
    report["judge_ms_p95"] = _quantile([1000 * took for took in models.judge_s], 0.95)
    report["machine"] = machine()
    return report


def _text(folder: Path, clip: Clip, models: Models, detection: TurnDetection | None) -> str:
    audio = read_audio(folder / clip["file"])
    return played(models, audio, detection, models.score(audio), transcribe=True).text


def show(report: dict[str, Any], console: Console) -> None:
    table = Table(title="Where turns end")
    for title in ("mode", "wrong", "by kind", "delay ms", "p95", "audio ms", "p95", "empty"):
        table.add_column(title, justify="left" if title == "mode" else "right", no_wrap=True)
    for mode in MODES:
        row = report[mode]
        by_kind = row["wrong_end_share_by_pause"].values()
        shares = ["-" if share is None else f"{share:.0%}" for share in (row["wrong_end_share"], *by_kind)]
        delays = [str(row[key]) for key in DELAYS]
        table.add_row(mode, shares[0], " ".join(shares[1:]), *delays, str(row["no_speech_empty"]))
    console.print(table)
    row = report["semantic_vad_auto"]
    kinds = ", ".join(f"{count} {how}" for how, count in row["pauses"].items())
    console.print(f"Pauses in mid-sentence: {kinds}. Ends of turns: {row['ends']}, with {LONGEST_S:g} s of silence.")
    console.print(
        f"A judgement took {report['judge_ms_median']} ms, at p95 {report['judge_ms_p95']} ms, on {report['machine']}."
    )
    empty = f"{report[MANUAL]['no_speech_empty']} of {report['no_speech_clips']}"
    console.print(f"Clips without speech that stayed empty when the client committed: {empty}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--max-seconds", type=float, default=float("inf"), help="leave out longer clips with words")
    parser.add_argument("--threads", type=int, default=2, help="for the engine; the judge has one")
    options = parser.parse_args()
    clips = [json.loads(line) for line in (options.folder / "manifest.jsonl").read_text().splitlines() if line.strip()]
    clips = [clip for clip in clips if clip["duration_s"] <= options.max_seconds or clip.get("score") == "no-speech"]
    console = Console(stderr=True)
    report = measure(options.folder, clips, Models(models_folder(None), options.threads), console)
    show(report, Console(width=100))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
