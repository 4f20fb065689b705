"""Checkpoints written beside training hold what was when they were begun, and their failures are told."""

from pathlib import Path

import pytest
import torch

from hrdet_cli.engine.training.checkpoint import load_checkpoint
from hrdet_cli.engine.training.checkpoint_writer import CheckpointWriter
from hrdet_cli.engine.training.host_copy import copy_to_host
from hrdet_cli.errors import OutputError


def test_what_changes_after_the_beginning_is_not_in_the_file(tmp_path: Path) -> None:
    weights = torch.zeros(1000, 1000)
    with CheckpointWriter() as writer:
        writer.begin(tmp_path / "a.pt", {"model": {"w": weights}, "step": 3})
        weights.add_(1)
    state = load_checkpoint(tmp_path / "a.pt")
    assert state["step"] == 3
    assert not state["model"]["w"].any()


def test_checkpoints_are_written_one_after_another(tmp_path: Path) -> None:
    file = tmp_path / "a.pt"
    with CheckpointWriter() as writer:
        for step in range(3):
            writer.begin(file, {"step": step})
        writer.write([file], {"step": 3})
        assert load_checkpoint(file) == {"step": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_under_several_names_it_is_the_same_and_damage_to_one_is_none_to_the_others(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("best.pt", "last.pt", "epoch-003.pt")]
    with CheckpointWriter() as writer:
        writer.write(files, {"step": 3})
    assert [load_checkpoint(file) for file in files] == [{"step": 3}] * 3
    with files[0].open("r+b") as damaged:
        damaged.truncate(10)
    assert [load_checkpoint(file) for file in files[1:]] == [{"step": 3}] * 2


def check_until_it_fails(writer: CheckpointWriter) -> None:
    while True:
        writer.check()


def test_a_checkpoint_that_could_not_be_written_is_an_error_at_the_next_occasion(tmp_path: Path) -> None:
    nowhere = tmp_path / "missing" / "a.pt"
    writer = CheckpointWriter()
    writer.begin(nowhere, {"step": 1})
    with pytest.raises(OutputError, match=r"a\.pt: the checkpoint could not be written"):
        writer.begin(nowhere, {"step": 2})
    writer.begin(nowhere, {"step": 3})
    with pytest.raises(OutputError, match=r"a\.pt"):
        check_until_it_fails(writer)
    writer.begin(nowhere, {"step": 4})
    with pytest.raises(OutputError, match=r"a\.pt"), writer:
        pass


def test_an_error_is_not_hidden_by_a_checkpoint_that_failed_too(tmp_path: Path) -> None:
    def work() -> None:
        with CheckpointWriter() as writer:
            writer.begin(tmp_path / "missing" / "a.pt", {"step": 1})
            raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        work()


def test_a_copy_shares_no_tensor_and_keeps_the_form() -> None:
    tensor = torch.arange(3)
    value = {"a": [tensor, (tensor, "text")], "b": {"c": 2.5, "d": None}}
    copied = copy_to_host(value)
    tensor.zero_()
    assert copied["b"] == value["b"]
    first, (second, text) = copied["a"]
    assert (first.tolist(), second.tolist(), text) == ([0, 1, 2], [0, 1, 2], "text")


def test_what_the_slowest_checkpoint_took_is_known(tmp_path: Path) -> None:
    file = tmp_path / "a.pt"
    with CheckpointWriter() as writer:
        writer.begin(file, {"step": 1})
        writer.finish()
        first = writer.slowest
        assert first is not None
        assert first.num_bytes == file.stat().st_size
        writer.write([file], {"step": 2})
        second = writer.slowest
        assert second is not None
        assert second.seconds >= first.seconds > 0
