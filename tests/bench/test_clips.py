"""Clips: where speech ends in them, what a manifest says, how long recordings are cut."""

import json
import wave

import numpy as np
import pytest

from hark.bench.clips import Wanted, find_clips, voiced_stretches
from hark.errors import CallerError
from hark.models.scripted import ScriptedScorer

SCORER = ScriptedScorer()


def sound(*seconds):
    """Loud and silent stretches by turns, the first one loud; whole windows."""
    parts = [np.full(round(s * 31.25) * 512, 0.5 * (place % 2 == 0), np.float32) for place, s in enumerate(seconds)]
    return np.concatenate(parts)


def write(path, audio):
    path.parent.mkdir(exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((audio * 32_767).astype("<i2").tobytes())


def test_speech_ends_with_the_last_voiced_window():
    audio = sound(0.96, 0.16, 0.96, 0.64, 0.32, 0.96)
    assert voiced_stretches(audio, SCORER) == ((0, 33_280), (43_520, 48_640))
    assert voiced_stretches(np.zeros(5_000, np.float32), SCORER) == ()


def test_a_folder_of_recordings_with_their_words_beside_them(tmp_path):
    write(tmp_path / "b.wav", sound(3.2, 0.96))
    write(tmp_path / "a.wav", sound(4.8, 0.96))
    write(tmp_path / "short.wav", sound(0.96, 0.32))
    write(tmp_path / "silent.wav", np.zeros(80_000, np.float32))
    (tmp_path / "b.txt").write_text("What was said.\n")
    clips = find_clips(tmp_path, Wanted(), SCORER)
    assert [(clip.name, clip.transcript) for clip in clips] == [("a", None), ("b", "What was said.")]
    assert clips[1].speech_end == 51_200


def test_a_manifest_decides(tmp_path):
    rows = []
    for name, fields in {
        "read": {"kind": "read", "transcript": "words"},
        "talk": {"kind": "conversation", "transcript": "words"},
        "french": {"kind": "read", "language": "fr", "transcript": "mots"},
        "long": {"kind": "read", "duration_s": 40.0},
        "noise": {"kind": "read", "score": "no-speech"},
    }.items():
        write(tmp_path / f"{name}.wav", sound(3.2, 0.96))
        rows.append(json.dumps({"id": name, "file": f"{name}.wav", "score": "wer", "duration_s": 4.2} | fields))
    (tmp_path / "manifest.jsonl").write_text("\n".join(rows) + "\n")
    assert [clip.name for clip in find_clips(tmp_path, Wanted(), SCORER)] == ["read", "talk"]
    assert [clip.name for clip in find_clips(tmp_path, Wanted(kind="read"), SCORER)] == ["read"]


def test_a_long_recording_is_cut_in_its_pauses(tmp_path):
    write(tmp_path / "long.wav", sound(3.2, 0.64, 1.92, 0.16, 1.92, 0.64, 16.0, 0.64, 3.52))
    clips = find_clips(tmp_path, Wanted(), SCORER)
    assert [clip.name for clip in clips] == ["long-1", "long-2", "long-3"]
    assert [round(clip.seconds, 2) for clip in clips] == [3.52, 4.64, 3.84]
    assert [clip.voiced[0][0] / 16_000 for clip in clips] == pytest.approx([0, 0.32, 0.32])
    assert [clip.speech_end / 16_000 for clip in clips] == pytest.approx([3.2, 4.32, 3.84])


def test_a_folder_without_speech_is_refused(tmp_path):
    with pytest.raises(CallerError, match="found none in"):
        find_clips(tmp_path, Wanted(), SCORER)
