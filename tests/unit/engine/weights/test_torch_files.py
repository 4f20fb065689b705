"""Only tensors and plain types come out of a file, and nothing in it is run."""

import argparse
import collections
import io
import os
import pickle
import pickletools
import sys
import tarfile
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hrdet_cli.engine.weights.pickles import StandIn
from hrdet_cli.engine.weights.torch_files import read_torch_file
from hrdet_cli.errors import WeightsError

SOURCE = "weights.pth"
NO_WEIGHTS = (
    "weights weights.pth are damaged, or are no weights at all. Give a file of torch.save or of safetensors."
)


def read(path: Path) -> Any:
    return read_torch_file(path, source=SOURCE)


def written(content: object, folder: Path, *, legacy: bool = False) -> Path:
    path = folder / SOURCE
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def with_pickle(instructions: bytes, folder: Path) -> Path:
    """A torch file whose pickle consists of certain instructions."""
    path = written({"weight": torch.ones(3)}, folder)
    plain = path.with_name("plain.pth")
    path.rename(plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for member in source.infolist():
            is_pickle = member.filename.endswith("/data.pkl")
            target.writestr(
                zipfile.ZipInfo(member.filename), instructions if is_pickle else source.read(member)
            )
    return cleared(path)


def cleared(path: Path) -> Path:
    """Without the attributes that Python gives members."""
    with zipfile.ZipFile(path, "a") as archive:
        for member in archive.infolist():
            member.external_attr = 0
        archive._didModify = True  # type: ignore[attr-defined]
    return path


def call(module: str, name: str, *arguments: object) -> bytes:
    """Instructions that call something and leave its result."""
    pushed = b"".join(pickle.dumps(a, protocol=2)[2:-1].replace(b"q\x00", b"") for a in arguments)
    return b"c" + f"{module}\n{name}\n".encode() + b"(" + pushed + b"tR"


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """What a file would leave behind if it were obeyed."""
    path = tmp_path / "it-ran"
    yield path
    assert not path.exists()


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
def test_tensors_and_plain_types_come_out_as_they_went_in(legacy: bool, tmp_path: Path) -> None:
    content = {
        "state_dict": collections.OrderedDict(a=torch.arange(6.0).view(2, 3), b=torch.ones(2).half()),
        "meta": {"epoch": 12, "CLASSES": ("cell", "platelet"), "seed": None, "best": [0.5, True]},
    }
    got = read(written(content, tmp_path, legacy=legacy))
    assert got["meta"] == content["meta"]
    assert torch.equal(got["state_dict"]["a"], torch.arange(6.0).view(2, 3))
    assert got["state_dict"]["b"].dtype == torch.float16


class HistoryBuffer:
    """Shaped like mmengine's: an array, and its methods by name."""

    def __init__(self) -> None:
        self._log_history = np.array([0.5, 0.25])
        self.statistics_methods = {"mean": HistoryBuffer.mean}

    def mean(self) -> None:
        raise AssertionError("the file's object was used")


class ConfigDict(dict[str, Any]):
    """Shaped like mmengine's and mmcv's."""


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Puts the two classes where mmengine has them; the returned function uninstalls mmengine."""
    modules = ["mmengine", "mmengine.logging", "mmengine.logging.history_buffer"]
    modules += ["mmengine.config", "mmengine.config.config"]
    for name in modules:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for library_class, module in ((HistoryBuffer, modules[2]), (ConfigDict, modules[4])):
        monkeypatch.setattr(library_class, "__module__", module)
        setattr(sys.modules[module], library_class.__name__, library_class)

    def uninstall() -> None:
        for name in modules:
            sys.modules.pop(name)

    return uninstall


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
def test_objects_of_known_libraries_are_replaced_by_ones_that_do_nothing(
    legacy: bool, libraries: Callable[[], None], tmp_path: Path
) -> None:
    content = {
        "state_dict": {"weight": torch.arange(3.0)},
        "message_hub": {"log_scalars": collections.OrderedDict(loss=HistoryBuffer())},
        "meta": {
            "args": argparse.Namespace(lr=0.02),
            "best_box_ap": np.float64(0.366),
            "counts": np.arange(3),
            "work_dir": Path("work_dirs"),
            "cfg": ConfigDict(model=ConfigDict(type="Detector")),
            "by_class": collections.defaultdict(list, {"person": [1]}),
            "milestones": collections.Counter([8, 11]),
            "dtype": torch.float32,
            "CLASSES": ["person"],
        },
    }
    path = written(content, tmp_path, legacy=legacy)
    libraries()
    got = read(path)
    assert torch.equal(got["state_dict"]["weight"], torch.arange(3.0))
    assert got["meta"]["CLASSES"] == ["person"]
    objects = [value for key, value in got["meta"].items() if key not in ("CLASSES", "dtype")]
    for stand_in in (got["message_hub"]["log_scalars"]["loss"], *objects):
        assert type(stand_in) is StandIn
    assert "mmengine" not in sys.modules


def test_a_library_that_a_file_names_is_never_imported(
    tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mmcv").mkdir()
    (tmp_path / "mmcv" / "__init__.py").write_text(f"open({str(marker)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    read(with_pickle(b"\x80\x02" + call("mmcv", "Config", "anything") + b".", tmp_path))
    assert "mmcv" not in sys.modules


REFUSED = {
    "os.system": ("posix", "system", ["touch {}"]),
    "eval": ("builtins", "eval", ["open('{}', 'w')"]),
    "eval of Python 2": ("__builtin__", "eval", ["open('{}', 'w')"]),
    "exec": ("builtins", "exec", ["open('{}', 'w')"]),
    "open": ("builtins", "open", ["{}", "w"]),
    "import": ("builtins", "__import__", ["antigravity"]),
    "subprocess": ("subprocess", "Popen", ["touch {}"]),
    "numpy's twin": ("numpyy", "save", ["{}"]),
    "a pickle in a pickle": ("pickle", "loads", [pickle.dumps(os.getcwd)]),
    "a torch file in a pickle": ("torch.storage", "_load_from_bytes", [pickle.dumps(os.getcwd)]),
    "torch.load": ("torch", "load", ["{}"]),
    "torch.hub": ("torch.hub", "load", ["{}", "model"]),
    "torch.from_file": ("torch", "from_file", ["{}", True, 4]),
    "a library": ("torch._ops", "load_library", ["{}"]),
    "memory without content": ("torch", "Tensor", [64]),
    "any amount of memory": ("builtins", "bytearray", [2**31]),
    "a tensor with attributes": ("torch._tensor", "_rebuild_from_type_v2", ["anything"]),
    "a sparse tensor": ("torch._utils", "_rebuild_sparse_tensor", ["anything"]),
    "TorchScript": ("__torch__.torch.nn", "Module", []),
}


@pytest.mark.parametrize(("module", "name", "arguments"), REFUSED.values(), ids=REFUSED)
def test_what_could_run_code_is_refused_by_name(
    module: str, name: str, arguments: list[object], tmp_path: Path, marker: Path
) -> None:
    told = [a.format(marker) if isinstance(a, str) else a for a in arguments]
    with pytest.raises(WeightsError) as caught:
        read(with_pickle(b"\x80\x02" + call(module, name, *told) + b".", tmp_path))
    refused = f"{module.replace('__builtin__', 'builtins')}.{name}"
    assert str(caught.value) == (
        f"weights {SOURCE} hold objects other than tensors and plain types ({refused}), which could run code "
        "and were not loaded. If you trust the file, save its tensors alone in the program that trained it: "
        'torch.save(model.state_dict(), "weights.pth")'
    )


def test_a_name_that_a_terminal_obeys_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"\('evil\.\\x1b\[2J'\)"):
        read(with_pickle(b"\x80\x02cevil\n\x1b[2J\n.", tmp_path))


class Calls:
    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[object, ...]:
        return self.function, self.arguments


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
def test_a_real_file_that_would_run_a_command_is_refused(legacy: bool, tmp_path: Path, marker: Path) -> None:
    content = {"state_dict": {"weight": torch.ones(2)}, "meta": Calls(os.system, f"touch {marker}")}
    with pytest.raises(WeightsError, match=r"hold objects other than .*\(posix\.system\)"):
        read(written(content, tmp_path, legacy=legacy))


def test_getattr_is_replaced_too_and_its_result_cannot_be_called(tmp_path: Path, marker: Path) -> None:
    looked_up = call("builtins", "getattr", "anything", "upper")
    assert type(read(with_pickle(b"\x80\x02" + looked_up + b".", tmp_path))) is StandIn
    with pytest.raises(WeightsError, match="hold objects other than tensors"):
        read(with_pickle(b"\x80\x02" + looked_up + b"(tR.", tmp_path))


def test_a_stand_in_forgets_what_it_is_called_with_and_filled_with(tmp_path: Path) -> None:
    state = pickle.dumps({"__class__": 1, "__dict__": {"a": 1}}, protocol=2)[2:-1]
    instructions = b"\x80\x02" + call("mmengine.config", "Config", "{'a': 1}") + state + b"b."
    stand_in = read(with_pickle(instructions, tmp_path))
    assert type(stand_in) is StandIn
    assert not hasattr(stand_in, "__dict__")


def test_a_whole_network_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        read(written(torch.nn.Linear(2, 2), tmp_path))
    assert "(torch.nn.modules.linear.Linear)" in str(caught.value)
    assert str(caught.value).endswith('torch.save(model.state_dict(), "weights.pth")')


def test_a_tensor_that_claims_more_than_its_memory_has_is_refused(tmp_path: Path) -> None:
    path = written({"weight": torch.ones(1000)}, tmp_path)
    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        honest = archive.read(name)
    count = b"M\xe8\x03"  # BININT2 1000
    assert honest.count(count) == 2  # of the storage and of the tensor
    with pytest.raises(WeightsError, match="are damaged"):
        read(with_pickle(honest.replace(count, b"J\x00\x00\x00\x7f"), tmp_path))


def deflated(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))


def cut_short(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def bit_flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(torch.full((4,), 2.5).numpy().tobytes())] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (deflated, "compressed members"),
        (cut_short, "File is not a zip file"),
        (bit_flipped, "does not match its checksum"),
    ],
)
def test_a_damaged_archive_is_refused(damage: Callable[[Path], None], reason: str, tmp_path: Path) -> None:
    path = written({"weight": torch.full((4,), 2.5)}, tmp_path)
    damage(path)
    with pytest.raises(
        WeightsError, match=rf"^weights {SOURCE} are damaged: .*{reason}.*Fetch them again\.$"
    ):
        read(path)


def zip_of(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "are empty (0 bytes). Copy or download it again."),
        (bytes(100), "are nothing but zero bytes. The copy or download was cut short: make it again."),
        (b"name: hrnet\nmodel: x\n", "are no weights but a text, such as a configuration."),
        (b'{"images": [], "annotations": []}', "are no weights but JSON."),
        (b"<!DOCTYPE html>", "are a web page (HTML). The download gave a page in place of the file"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "are a Git LFS pointer, not the file it stands for.",
        ),
        (pickle.dumps({"a": 1}), "are a Python pickle."),
        (pickle.dumps(torch.ones(1)), "are a Python pickle."),
        (b"\x1f\x8b\x08" + bytes(100), "are compressed with gzip. Unpack it with gunzip"),
        (b"\x08\x07\x12\x07pytorch" + bytes(100), "are an ONNX model. Convert it first."),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "are an HDF5 file. Convert it first."),
        (b"\xff\xd8\xff\xe0" + bytes(100), "are a JPEG picture."),
        (zip_of("a/b.pth", "a/c.txt"), "are a ZIP archive with a/b.pth in it. Unpack it."),
        (zip_of("images/1.jpg"), "are a ZIP archive that torch.save did not write."),
        (zip_of("w.npy", "b.npy"), "are NumPy arrays (.npz). Save them as tensors."),
        (
            zip_of("net/data.pkl", "net/constants.pkl", "net/code/net.py"),
            "are a TorchScript program. Save its tensors: torch.save(torch.jit.load(FILE).state_dict(), ",
        ),
        (b"\x00\x01\x02 anything" * 40, "are damaged, or are no weights at all."),
    ],
    ids=lambda value: (
        value if isinstance(value, str) else ""
    ),  # archives have the time of their making inside
)
def test_what_is_no_torch_file_is_called_what_it_is(content: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / SOURCE
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        read(path)
    assert str(caught.value).startswith(f"weights {SOURCE} {what}")
    assert str(caught.value).endswith("Give a file of torch.save or of safetensors.")


TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
    b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x03tQ%s\x89ccollections\nOrderedDict\n)RtR"
)
"""Instructions for a tensor of three elements of memory: offset, size and stride are to be put in."""


def test_the_instructions_of_the_next_test_make_a_tensor(tmp_path: Path) -> None:
    instructions = b"\x80\x02" + TENSOR % b"K\x01K\x02\x85K\x01\x85" + b"."
    assert read(with_pickle(instructions, tmp_path)).tolist() == [1, 1]


@pytest.mark.parametrize(
    "view",
    [
        b"K\x00K\x04\x85K\x01\x85",
        b"K\x02K\x02\x85K\x01\x85",
        b"K\x00K\x02\x85K\x03\x85",
        b"J\xff\xff\xff\xffK\x02\x85K\x01\x85",
        b"K\x02K\x02\x85J\xff\xff\xff\xff\x85",
    ],
    ids=["size", "offset", "stride", "negative offset", "negative stride"],
)
def test_a_tensor_that_reaches_beyond_its_memory_is_refused(view: bytes, tmp_path: Path) -> None:
    """torch would make the memory larger, and leave the rest of it as it was."""
    with pytest.raises(WeightsError, match=r"\(a tensor beyond its memory\)"):
        read(with_pickle(b"\x80\x02" + TENSOR % view + b".", tmp_path))


def test_what_is_built_into_a_tensor_is_not_looked_at(tmp_path: Path) -> None:
    whole = TENSOR % b"K\x00K\x03\x85K\x01\x85"
    got = read(with_pickle(b"\x80\x02" + whole + b"}X\x06\x00\x00\x00detachNsb.", tmp_path))
    assert got.detach().tolist() == [1, 1, 1]


def old_pickles(path: Path) -> list[bytes]:
    """The five of a file in the older format, and the rest."""
    content, parts, begin = io.BytesIO(path.read_bytes()), [], 0
    for _ in range(5):
        for _ in pickletools.genops(content):
            pass
        parts.append(content.getvalue()[begin : content.tell()])
        begin = content.tell()
    return [*parts, content.getvalue()[begin:]]


OLD_DAMAGES: dict[str, Callable[[list[bytes]], None]] = {
    "no memory": lambda parts: parts.__setitem__(slice(4, 6), [pickle.dumps([], protocol=2), b""]),
    "less memory": lambda parts: parts.__setitem__(5, parts[5][:-1]),
    "memory of another length": lambda parts: parts.__setitem__(5, b"\x02" + parts[5][1:]),
    "more memory than bytes": lambda parts: parts.__setitem__(
        3, parts[3].replace(b"K\x40", b"J\x00\x00\x00\x7f")
    ),
}


@pytest.mark.parametrize("damage", OLD_DAMAGES.values(), ids=OLD_DAMAGES)
def test_no_memory_of_an_old_file_stays_unfilled(
    damage: Callable[[list[bytes]], None], tmp_path: Path
) -> None:
    path = written({"weight": torch.ones(64)}, tmp_path, legacy=True)
    parts = old_pickles(path)
    damage(parts)
    path.write_bytes(b"".join(parts))
    with pytest.raises(WeightsError, match=rf"^weights {SOURCE} are damaged: .*Fetch them again\.$"):
        read(path)


def test_a_text_that_claims_to_be_long_takes_no_memory(tmp_path: Path) -> None:
    path = written({"weight": torch.ones(64)}, tmp_path, legacy=True)
    parts = old_pickles(path)
    path.write_bytes(b"".join([*parts[:3], b"\x80\x02\x8d" + (2**62).to_bytes(8, "little"), *parts[4:]]))
    with pytest.raises(WeightsError) as caught:
        read(path)
    assert str(caught.value) == NO_WEIGHTS


NESTED = {
    "a deep key": b"})" + b"\x85" * 100_000 + b"K\x01s.",
    "a key of 2^60 parts": b"}K\x01" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60)) + b"K\x01s.",
}


@pytest.mark.parametrize("instructions", NESTED.values(), ids=NESTED)
def test_tuples_are_no_keys_however_they_are_nested(instructions: bytes, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"\(a key that is neither text nor number\)"):
        read(with_pickle(b"\x80\x02" + instructions, tmp_path))


def test_values_may_be_nested_as_they_like(tmp_path: Path) -> None:
    nested = b"}K\x01)" + b"\x85" * 100_000 + b"s."
    assert read(with_pickle(b"\x80\x02" + nested, tmp_path)).keys() == {1}


def test_the_oldest_format_a_tar_is_refused_and_nothing_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / SOURCE
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("storages")
        content = pickle.dumps(0, protocol=2)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    with pytest.raises(WeightsError) as caught:
        read(path)
    assert str(caught.value).startswith(f"weights {SOURCE} are a tar archive.")
    assert [p.name for p in tmp_path.iterdir()] == [SOURCE]


def test_a_file_that_is_not_there_is_left_to_the_caller(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nowhere.pth")
