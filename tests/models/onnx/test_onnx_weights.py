"""Weights out of ONNX files that are written here, field by field, and out of broken ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hark.errors import OperatorError
from hark.models.base import LoadOptions
from hark.models.onnx.weights import read_weights
from hark.models.silero.scorer import NAME, Silero


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name: str, values: np.ndarray, *, packed: bool = False, kind: int = 1) -> bytes:
    dims = field(1, b"".join(map(varint, values.shape))) if packed else b"".join(field(1, n) for n in values.shape)
    return dims + field(2, kind) + field(8, name.encode()) + field(9, values.tobytes())


def model(*tensors: bytes) -> bytes:
    graph = field(2, b"a graph") + b"".join(field(5, each) for each in tensors)
    fixed = varint(20 << 3 | 1) + bytes(8) + varint(21 << 3 | 5) + bytes(4)
    return field(1, 8) + field(2, b"tests") + fixed + field(7, graph) + field(8, b"\x10\x0f")


WEIGHTS = np.arange(300, dtype=np.float32).reshape(2, 150)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "small.onnx"


@pytest.mark.parametrize("packed", [False, True])
def test_what_was_written_is_read(path: Path, packed: bool) -> None:
    other = np.ones(3, np.float32)
    path.write_bytes(model(tensor("other", other), tensor("w", WEIGHTS, packed=packed), tensor("scalar", other[0])))
    found = read_weights(path, {"w": (2, 150), "scalar": ()})
    assert found.keys() == {"w", "scalar"}
    np.testing.assert_array_equal(found["w"], WEIGHTS)
    assert found["w"].flags.writeable


def test_what_is_not_there_as_expected_is_refused(path: Path) -> None:
    path.write_bytes(model(tensor("w", WEIGHTS), tensor("half", WEIGHTS.astype(np.float16), kind=10)))
    with pytest.raises(OperatorError, match=r"w has the shape \(2, 150\) and not \(150, 2\).*hark pull"):
        read_weights(path, {"w": (150, 2)})
    with pytest.raises(OperatorError, match="no float32 weights named v"):
        read_weights(path, {"v": (2, 150)})
    with pytest.raises(OperatorError, match="no float32 weights named half"):
        read_weights(path, {"half": (2, 150)})
    with pytest.raises(OperatorError, match="is missing"):
        read_weights(path.with_name("other.onnx"), {})


@given(st.data())
def test_a_damaged_file_is_refused_or_holds_what_was_asked_for(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    whole = model(tensor("w", WEIGHTS))
    if data.draw(st.booleans()):
        broken = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        at = data.draw(st.integers(0, len(whole) - 1))
        broken = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    path = tmp_path_factory.mktemp("broken") / "broken.onnx"
    path.write_bytes(broken)
    try:
        found = read_weights(path, {"w": (2, 150)})
    except OperatorError:
        return
    assert found["w"].shape == (2, 150)


def test_other_weights_than_sileros_are_refused(tmp_path: Path) -> None:
    path = tmp_path / NAME / "silero_vad_16k_op15.onnx"
    path.parent.mkdir()
    for content in (b"", b"no such file", model(tensor("w", WEIGHTS))):
        path.write_bytes(content)
        with pytest.raises(OperatorError, match="hark pull"):
            Silero(LoadOptions(tmp_path))


def test_weights_that_are_no_fourier_transform_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nonsense(_path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        return {name: np.ones(shape, np.float32) for name, shape in shapes.items()}

    monkeypatch.setattr("hark.models.silero.network.read_weights", nonsense)
    with pytest.raises(OperatorError, match="no windowed Fourier transform"):
        Silero(LoadOptions(tmp_path))
