import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hrdet_cli.engine.training import checkpoint
from hrdet_cli.engine.training.checkpoint import (
    copy_checkpoint,
    load_checkpoint,
    newest_valid,
    save_checkpoint,
)
from hrdet_cli.errors import OutputError, WeightsError


def state_of(step: int) -> dict[str, Any]:
    return {
        "step": step,
        "model": {"weight": torch.full((40,), float(step)), "seen": torch.tensor(step)},
        "classes": ("cell", "platelet"),
        "best": None,
        "share": 0.25,
        "history": [1, True],
    }


def assert_equals(loaded: dict[str, Any], expected: dict[str, Any]) -> None:
    assert loaded.keys() == expected.keys()
    for key in expected.keys() - {"model"}:
        assert loaded[key] == expected[key]
        assert type(loaded[key]) is type(expected[key])
    for name, tensor in expected["model"].items():
        assert torch.equal(loaded["model"][name], tensor)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last.pt", state_of(7))
    assert_equals(load_checkpoint(tmp_path / "last.pt"), state_of(7))
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (np.float64(0.5), r"state\['best'\] is a float64"),
        ({"file": Path("a")}, r"state\['best'\]\['file'\] is a PosixPath"),
        ([1, np.int64(3)], r"state\['best'\]\[1\] is a int64"),
        ({np.int64(3): 1}, r"a key of state\['best'\] is a int64"),
    ],
)
def test_a_value_that_could_not_be_loaded_is_not_saved(value: object, where: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=where):
        save_checkpoint(tmp_path / "last.pt", state_of(1) | {"best": value})
    assert list(tmp_path.iterdir()) == []


class FailingFile(io.FileIO):
    """A file on a disk that fills up at one of the write calls."""

    num_writes_left = 0

    def write(self, data: Any) -> int:
        if FailingFile.num_writes_left == 0:
            raise OSError(28, "No space left on device")
        FailingFile.num_writes_left -= 1
        return super().write(data)


def count_writes(monkeypatch: pytest.MonkeyPatch, folder: Path) -> int:
    FailingFile.num_writes_left = 1_000_000
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda self, mode: FailingFile(self, mode))
        save_checkpoint(folder / "counted.pt", state_of(2))
    (folder / "counted.pt").unlink()
    return 1_000_000 - FailingFile.num_writes_left


def test_a_disk_that_fills_up_at_any_write_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, state_of(1))
    num_writes = count_writes(monkeypatch, tmp_path)
    assert num_writes > 5
    for num_good_writes in range(num_writes):
        FailingFile.num_writes_left = num_good_writes
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", lambda self, mode: FailingFile(self, mode))
            with pytest.raises(OutputError, match=r"last\.pt: .*No space left on device.* Make room"):
                save_checkpoint(path, state_of(2))
        assert_equals(load_checkpoint(path), state_of(1))
        assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_copy_that_cannot_be_written_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, path = tmp_path / "best.pt", tmp_path / "last.pt"
    save_checkpoint(source, state_of(2))
    save_checkpoint(path, state_of(1))
    FailingFile.num_writes_left = 0
    opened = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(
            Path, "open", lambda self, mode: FailingFile(self, mode) if mode == "wb" else opened(self, mode)
        )
        with pytest.raises(OutputError, match=r"last\.pt: .*No space left on device.* Make room"):
            copy_checkpoint(source, path)
    assert_equals(load_checkpoint(path), state_of(1))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.pt", "last.pt"]
    copy_checkpoint(source, path)
    assert_equals(load_checkpoint(path), state_of(2))


class Killed(BaseException):
    """Stands for the process's end: nothing handles it."""


def fail(error: BaseException) -> Any:
    def call(*_arguments: object, **_keywords: object) -> None:
        raise error

    return call


class FailingFlush(io.FileIO):
    error: BaseException = OSError(5, "Input/output error")

    def flush(self) -> None:
        if not self.closed:
            raise self.error


@pytest.mark.parametrize("point", ["flush", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), Killed()])
def test_an_interruption_before_the_rename_keeps_the_old_checkpoint(
    point: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, state_of(1))
    with monkeypatch.context() as patch:
        if point == "flush":
            FailingFlush.error = error
            patch.setattr(Path, "open", lambda self, mode: FailingFlush(self, mode))
        elif point == "fsync":
            patch.setattr(os, "fsync", fail(error))
        else:
            patch.setattr(Path, "replace", fail(error))
        expected = OutputError if isinstance(error, OSError) else Killed
        with pytest.raises(expected):
            save_checkpoint(path, state_of(2))
    assert_equals(load_checkpoint(path), state_of(1))
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_nothing_waits_in_a_buffer_when_the_file_is_flushed_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_bytes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: num_bytes.append(os.fstat(descriptor).st_size))
    save_checkpoint(tmp_path / "last.pt", state_of(1))
    assert num_bytes[0] == (tmp_path / "last.pt").stat().st_size


def test_an_interruption_after_the_rename_leaves_the_new_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, state_of(1))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_flush_folder", fail(Killed()))
        with pytest.raises(Killed):
            save_checkpoint(path, state_of(2))
    assert_equals(load_checkpoint(path), state_of(2))


def test_the_file_and_then_the_folder_are_flushed_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without the first a power cut can leave an empty file under the final name, without the second none.
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def recorded_fsync(descriptor: int) -> None:
        events.append("fsync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def recorded_replace(self: Path, target: Path) -> Path:
        events.append(f"rename {self.name} to {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(Path, "replace", recorded_replace)
    save_checkpoint(tmp_path / "last.pt", state_of(1))
    assert events == ["fsync last.pt.partial", "rename last.pt.partial to last.pt", f"fsync {tmp_path.name}"]


def test_a_partial_file_of_a_killed_process_is_in_nobody_s_way(tmp_path: Path) -> None:
    (tmp_path / "last.pt.partial").write_bytes(b"half a checkpoint" * 1000)
    save_checkpoint(tmp_path / "last.pt", state_of(3))
    assert_equals(load_checkpoint(tmp_path / "last.pt"), state_of(3))
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_folder_that_is_gone_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"No such file or directory.* continue with --resume"):
        save_checkpoint(tmp_path / "gone" / "last.pt", state_of(1))


def tensor_bytes(path: Path) -> list[int]:
    """Offsets of all bytes of tensor data in a checkpoint."""
    content = path.read_bytes()
    offsets: list[int] = []
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if "/data/" in member.filename:
                name_length, extra_length = struct.unpack_from("<HH", content, member.header_offset + 26)
                start = member.header_offset + 30 + name_length + extra_length
                offsets += range(start, start + member.file_size)
    return offsets


def test_every_flipped_bit_in_a_tensor_is_found(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, state_of(1))
    content = path.read_bytes()
    offsets = tensor_bytes(path)
    assert len(offsets) == 40 * 4 + 8  # the float32 and the int64 tensor of state_of
    for offset in offsets:
        for bit in range(8):
            damaged = bytearray(content)
            damaged[offset] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(
                WeightsError, match=r"last\.pt: .*damaged.*does not match its checksum.*another"
            ):
                load_checkpoint(path)


def test_a_flipped_bit_anywhere_is_found_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, state_of(1))
    content = path.read_bytes()
    num_found = 0
    for offset in range(len(content)):
        damaged = bytearray(content)
        damaged[offset] ^= 1 << (offset % 8)
        path.write_bytes(damaged)
        try:
            loaded = load_checkpoint(path)
        except WeightsError:
            num_found += 1
        else:  # padding between the members, dates and the like
            assert_equals(loaded, state_of(1))
    assert num_found > len(content) / 4


def test_a_truncated_file_is_found_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, state_of(1))
    content = path.read_bytes()
    for length in [*range(0, len(content) - 1, 97), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="damaged or is none"):
            load_checkpoint(path)


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_hostile_pickle_is_refused_without_running_it(tmp_path: Path) -> None:
    path, trace = tmp_path / "last.pt", tmp_path / "code-ran"
    torch.save({"format": {"kind": "hrdet checkpoint", "version": 1}, "model": Hostile(trace)}, path)
    with pytest.raises(WeightsError, match="could run code and were not loaded") as caught:
        load_checkpoint(path)
    assert not trace.exists()
    assert "weights_only" not in str(caught.value)
    torch.load(path, weights_only=False)  # it would have run
    assert trace.exists()


def rewrite(path: Path, *, compression: int) -> None:
    """Pack the members of a checkpoint anew."""
    with zipfile.ZipFile(path) as archive:
        members = [(m.filename, archive.read(m)) for m in archive.infolist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    save_checkpoint(path, {"model": torch.zeros(1_000_000)})
    rewrite(path, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    with pytest.raises(WeightsError, match="compressed members, which torch does not write"):
        load_checkpoint(path)


def test_a_member_marked_as_a_folder_is_refused(tmp_path: Path) -> None:
    # One flipped bit does that, no checksum covers it, and torch then loads whatever was in memory.
    path = tmp_path / "last.pt"
    save_checkpoint(path, state_of(1))
    content = bytearray(path.read_bytes())
    entry = content.index(b"archive/data/0", content.index(b"PK\x01\x02")) - 46
    content[entry + 38] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="members with attributes, which torch does not write"):
        load_checkpoint(path)


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    # An overlap bomb: many directory entries for one member claim many times the file's size.
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bomb/data/0", bytes(5_000))
        archive.filelist[0].external_attr = 0
        archive.filelist *= 10
    with pytest.raises(WeightsError, match=r"its members claim more than the file's \d+ bytes"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"conv1.weight": torch.ones(2)}, "not a checkpoint of hrdet. Give files of other programs"),
        ([1, 2], "not a checkpoint of hrdet"),
        ({"format": "hrdet checkpoint"}, "not a checkpoint of hrdet"),
        ({"format": {"kind": "other checkpoint", "version": 1}}, "not a checkpoint of hrdet"),
        (
            {"format": {"kind": "hrdet checkpoint", "version": 3}},
            "has checkpoint version 3, this hrdet reads versions 1 and 2",
        ),
    ],
)
def test_a_file_of_another_program_or_version_is_refused(
    document: object, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "other.pt"
    torch.save(document, path)
    with pytest.raises(WeightsError, match=message):
        load_checkpoint(path)


def test_a_missing_file_a_folder_and_an_old_style_file_are_refused(tmp_path: Path) -> None:
    old = tmp_path / "old.pth"
    torch.save({"weight": torch.ones(2)}, old, _use_new_zipfile_serialization=False)
    for path, message in [
        (tmp_path / "none.pt", "there is no such checkpoint"),
        (tmp_path, "Is a directory"),
        (old, "not a zip file"),
    ]:
        with pytest.raises(WeightsError, match=message):
            load_checkpoint(path)


def test_the_newest_whole_checkpoint_is_taken_and_the_skipped_ones_are_told(tmp_path: Path) -> None:
    newest, middle, oldest = (tmp_path / name for name in ("last.pt", "epoch-2.pt", "epoch-1.pt"))
    for step, path in enumerate((oldest, middle, newest)):
        save_checkpoint(path, state_of(step))
    assert newest_valid([newest, middle, oldest])[0] == newest

    newest.write_bytes(newest.read_bytes()[:-1])
    middle.unlink()
    path, state, skipped = newest_valid([newest, middle, oldest])
    assert path == oldest
    assert_equals(state, state_of(0))
    assert [line.split(":")[0] for line in skipped] == [str(newest), str(middle)]


@pytest.mark.parametrize("key", ["model", "ema_model"])
def test_a_checkpoint_with_nan_in_its_weights_is_skipped_and_says_where(key: str, tmp_path: Path) -> None:
    newest, older = tmp_path / "last.pt", tmp_path / "epoch-1.pt"
    save_checkpoint(older, state_of(1))
    save_checkpoint(newest, state_of(2) | {key: {"conv.weight": torch.tensor([1, float("nan"), 2])}})
    path, _, (reason,) = newest_valid([newest, older])
    assert path == older
    assert reason.startswith(
        f"{newest}: 1 tensor holds NaN, infinity or a negative variance: conv.weight (1 NaN of 3) (in '{key}"
    )


def test_without_a_whole_checkpoint_every_reason_is_given(tmp_path: Path) -> None:
    paths = [tmp_path / "last.pt", tmp_path / "epoch-1.pt"]
    with pytest.raises(WeightsError, match=r"(?s)no checkpoint can be loaded.*last\.pt.*epoch-1\.pt"):
        newest_valid(paths)
