"""Pickles of NumPy arrays are read without NumPy, by torch's own numbers."""

import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from hrdet_cli.engine.weights.array_pickles import is_start_of_arrays, read_arrays
from hrdet_cli.engine.weights.reading import read_weights
from hrdet_cli.errors import WeightsError

ARRAYS = {
    "a.matrix": np.arange(6, dtype="<f4").reshape(2, 3),
    "a.fortran": np.asfortranarray(np.arange(24, dtype="<f8").reshape(2, 3, 4)),
    "a.half": np.array([0.5, -2], dtype="<f2"),
    "a.number": np.array(7, dtype="<i8"),
    "a.empty": np.zeros((0, 4), dtype="<i4"),
    "a.bytes": np.array([0, 255], dtype="u1"),
    "a.truth": np.array([True, False]),
}


def write(tmp_path: Path, content: object, *, protocol: int = 3) -> Path:
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_model_zoo_s_file_gives_torch_s_tensors(protocol: int, tmp_path: Path) -> None:
    content = {"model": ARRAYS, "__author__": "Detectron2 Model Zoo"}
    weights = read_weights(str(write(tmp_path, content, protocol=protocol)))
    assert weights.state_dict_key == "model"
    assert weights.tensors.keys() == ARRAYS.keys()
    for key, array in ARRAYS.items():
        assert_close(weights.tensors[key], torch.from_numpy(np.ascontiguousarray(array)).view(array.shape))


def test_detectron_keeps_its_arrays_beside_its_configuration(tmp_path: Path) -> None:
    blobs = {"conv1_w": ARRAYS["a.matrix"], "res2_0_branch2a_w": ARRAYS["a.half"]}
    weights = read_weights(str(write(tmp_path, {"blobs": blobs, "cfg": "MODEL: {}"}, protocol=2)))
    assert weights.tensors.keys() == blobs.keys()


def test_python_2_s_pickles_have_bytes_as_texts(tmp_path: Path) -> None:
    """As Detectron wrote them: short strings, and the bytes of the array as a string."""
    content = np.array([1, -2.5], dtype="<f4").tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    kind = b"cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    state = b"(K\x01K\x02\x85" + kind + b"\x89U" + bytes([len(content)]) + content + b"tb"
    path = tmp_path / "R-50.pkl"
    path.write_bytes(b"\x80\x02}(U\x07conv1_w" + array + state + b"u.")
    assert read_weights(str(path)).tensors["conv1_w"].tolist() == [1, -2.5]


def test_arrays_that_are_named_twice_are_one(tmp_path: Path) -> None:
    array = ARRAYS["a.matrix"]
    content: Any = read_arrays(write(tmp_path, {"x": array, "y": array}), source="w")
    assert content["x"] is content["y"]


def test_only_pickles_with_a_protocol_are_taken_for_arrays(tmp_path: Path) -> None:
    assert all(is_start_of_arrays(start) for start in (b"\x80\x02}q", b"\x80\x04\x95", b"\x80\x05"))
    torch.save({"a": torch.ones(1)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    torch.save({"a": torch.ones(1)}, tmp_path / "new.pth")
    of_torch = [(tmp_path / f"{age}.pth").read_bytes() for age in ("old", "new")]
    for other in (*of_torch, b"", b"\x80", b"\x80\x07"):
        assert not is_start_of_arrays(other)


REFUSED = {
    "objects": np.array([object()], dtype=object),
    "texts": np.array(["a"]),
    "big-endian": np.array([1], dtype=">f4"),
    "complex": np.array([1j]),
    "records": np.zeros(1, dtype=[("a", "<f4")]),
    "a number": np.float32(1),
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_arrays_of_what_no_weights_consist_of_are_refused(value: object, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"^weights .*model_final\.pkl hold "):
        read_weights(str(write(tmp_path, {"model": {"a.b": value, "a.c": ARRAYS["a.matrix"]}})))


def pickled(state: bytes) -> bytes:
    """A dictionary of one array of this state; ``%s`` in it is the type float32."""
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    kind = b"cnumpy\ndtype\n(U\x02f4K\x00K\x01tR"
    return b"\x80\x02}(U\x01x" + array + state.replace(b"%s", kind) + b"u."


BROKEN = {
    "more bytes than its shape": b"(K\x01K\x01\x85%s\x89U\x08" + bytes(8) + b"tb",
    "fewer bytes than its shape": b"(K\x01K\x64\x85%s\x89U\x04" + bytes(4) + b"tb",
    "a shape below zero": b"(K\x01J\xff\xff\xff\xff\x85%s\x89U\x00tb",
    "a shape of no number": b"(K\x01U\x01a\x85%s\x89U\x04" + bytes(4) + b"tb",
    "no type": b"(K\x01K\x01\x85K\x01\x89U\x04" + bytes(4) + b"tb",
    "no bytes": b"(K\x01K\x01\x85%s\x89K\x01tb",
}


@pytest.mark.parametrize("state", BROKEN.values(), ids=BROKEN)
def test_arrays_that_do_not_hold_together_are_refused(state: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.pkl"
    path.write_bytes(pickled(state))
    with pytest.raises(WeightsError, match=r"^weights .*w\.pkl hold objects other than tensors"):
        read_weights(str(path))


def test_other_objects_are_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, {"model": ARRAYS, "x": Fraction(1)})
    with pytest.raises(WeightsError, match=r"tensors and plain types \(fractions\.Fraction\)"):
        read_weights(str(path))


def test_a_file_that_ends_too_early_is_damaged(tmp_path: Path) -> None:
    path = write(tmp_path, {"model": ARRAYS})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(WeightsError, match="are damaged, or are no weights at all"):
        read_weights(str(path))
