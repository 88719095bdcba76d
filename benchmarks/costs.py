"""What it costs: to transcribe each turn once, to do all but that, to carry sessions of a model that costs nothing, to
idle.

Rule: each gives its figures as they stand in the report of `capacity.py`, which runs them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from hark.bench.clips import Clip
from hark.bench.load import Level, Limit, level, ms
from hark.bench.measures import percentile
from hark.bench.player import Stock, Target, play
from hark.bench.processes import PROGRAM, Usage, serving, usage
from hark.bench.protocols import OpenAI, Sending
from hark.bench.schedule import PAUSE, Length, Plan, Script
from hark.compute.scheduler import usable_cores
from hark.core.work import SAMPLE_RATE, Audio
from hark.models.base import LoadOptions, Utterance
from hark.models.files.pull import models_folder
from hark.models.moonshine.engine import Moonshine
from hark.models.scripted import amplitude
from hark.session.jobs import LEAD, TAIL

SCRIPTED: Final = 500
SCRIPTED_ENV: Final = {"HARK_MODEL": "scripted", "HARK_VOICE_MODEL": "scripted-vad", "HARK_TURN_MODEL": "none"}
WORDS: Final = ("alpha", "golf", "charlie", "juliett")
IDLE: Final = 200
Figures = dict[str, Any]


def ceiling(clips: list[Clip], lengths: list[Length], plan: Plan) -> Figures:
    """Cores over the CPU of transcribing each turn exactly once, alone, in one thread, for what a session says."""
    engine = Moonshine(LoadOptions(models_folder(None), threads=1))
    turns = [_around(clip, *stretch) for clip in clips for stretch in clip.voiced]
    engine.transcribe([Utterance(turns[0])])
    started = time.process_time()
    for turn in turns:
        engine.transcribe([Utterance(turn)])
    spent = time.process_time() - started
    frames = sum(length.frames for length in lengths)
    played_s = frames * plan.frame_samples / SAMPLE_RATE + len(clips) * sum(plan.pauses) / 2
    speech_s = sum(map(len, turns)) / SAMPLE_RATE
    return {
        "transcription_cpu_s_per_speech_s": round(spent / speech_s, 4),
        "speech_share": round(speech_s / played_s, 3),
        "ceiling_sessions": round(usable_cores() * played_s / spent, 1),
    }


def _around(clip: Clip, first: int, last: int) -> Audio:
    return clip.audio[max(0, first - LEAD) : last + TAIL]


async def frontend() -> Figures:
    """By frontend.py, in a process of its own."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        run = [sys.executable, str(Path(__file__).parent / "frontend.py"), "--json", file.name, "--seconds", "10"]
        process = await asyncio.create_subprocess_exec(*run, stdout=asyncio.subprocess.DEVNULL)
        if await process.wait():
            raise RuntimeError("frontend.py failed")
        rows = json.load(file)["rows"]
    quiet = [row for row in rows if row["noise_reduction"] == "off"]
    cost = {(row["chunk_ms"], row["sessions"]): row["cpu_ms_per_audio_s"] for row in quiet}
    return {
        "frontend_rows": rows,
        "frontend_ms_per_audio_s": cost[100, 200],
        "frontend_ms_per_audio_s_20ms": cost[20, 200],
    }


async def scripted() -> tuple[Figures, Level]:
    """Turns of tones, which the scripted model has for words. The server has two cores, the load generator the rest."""
    cores = sorted(os.sched_getaffinity(0))
    program = ("taskset", "-c", f"{cores[0]},{cores[1]}", *PROGRAM) if len(cores) > 2 else PROGRAM
    os.sched_setaffinity(0, cores[2:] or cores)
    try:
        async with serving(program=program, environment=SCRIPTED_ENV) as running:
            target = Target(running.url, OpenAI, Sending(), running.api_key)
            stock = Stock([_tones(count) for count in range(15, 45, 5)], target)
            plan = Plan(seconds=30)
            one = await level(target, stock, plan, SCRIPTED, Limit(60), pid=running.pid, patient=True)
    finally:
        os.sched_setaffinity(0, cores)
    sums = one.sums
    return {
        "scripted_sessions": SCRIPTED,
        "scripted_lost": sums.missed + sums.failed + sums.refused + sums.behind,
        "scripted_added_ms_p99": ms(percentile(sums.answered, 0.99)),
        "scripted_server_cores": None if one.cpu is None else round(one.cpu, 2),
        "scripted_valid": not sums.late,
    }, one


def _tones(count: int) -> Clip:
    """A clip of so many words of 200 ms."""
    levels = [np.zeros(1_600), *(np.full(3_200, amplitude(WORDS[place % len(WORDS)])) for place in range(count))]
    audio = np.concatenate(levels).astype(np.float32)
    return Clip(f"{count} words", audio, ((1_600, len(audio)),))


async def idle() -> Figures:
    """Sessions that are open and say nothing."""
    looks: list[tuple[float, Usage]] = []
    async with serving(environment=SCRIPTED_ENV) as running:
        target = Target(running.url, OpenAI, Sending(), running.api_key)
        stock = Stock([_tones(1)], target)

        def look() -> None:
            if (now := usage(running.pid)) is not None:
                looks.append((time.monotonic(), now))

        # One session first, so that what is loaded once is there.
        await play(target, stock, Plan(seconds=1), 1, scripts=[Script((), ((PAUSE, 0),), (0.1,))])
        before = usage(running.pid)
        silent = [Script((), ((PAUSE, 0),), (10.0,)) for _ in range(IDLE)]
        await play(target, stock, Plan(seconds=10), IDLE, scripts=silent, on_second=look)
    if before is None or len(looks) < 4:
        return {}
    (since, first), (until, last) = looks[1], looks[-2]
    return {
        "idle_kb_per_session": round((last.memory - before.memory) / IDLE / 1000, 1),
        "idle_cpu_ms_per_session_s": round(1000 * (last.cpu_s - first.cpu_s) / (until - since) / IDLE, 3),
    }
