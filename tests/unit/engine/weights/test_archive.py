import zipfile
from pathlib import Path

import pytest
import torch

from hrdet_cli.engine.weights.archive import refuse_damaged_archive


def check(path: Path) -> None:
    with path.open("rb") as file:
        refuse_damaged_archive(file)


def test_what_torch_writes_passes(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(5)}, tmp_path / "weights.pth")
    check(tmp_path / "weights.pth")


def test_an_archive_of_another_program_does_not(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "weights.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02N.")
    with pytest.raises(zipfile.BadZipFile, match="members with attributes, which torch does not write"):
        check(tmp_path / "weights.pth")


def test_members_that_lie_over_each_other_claim_too_much(tmp_path: Path) -> None:
    """The whole of a bomb: a directory of many entries that all are the same bytes."""
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a", bytes(100_000))
        (member,) = archive.infolist()
        member.external_attr = 0
        archive.filelist += [member] * 30
    with pytest.raises(zipfile.BadZipFile, match=r"its members claim more than the file's 10\d+ bytes"):
        check(path)
