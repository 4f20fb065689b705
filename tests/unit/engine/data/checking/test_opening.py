import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from hrdet_cli.engine.data.checking.opening import Finding, NamedSize, open_all
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.picture_names import FoundNames
from hrdet_cli.engine.data.shortages import lack_of_open_files
from hrdet_cli.engine.data.true_sizes import TrueSizes
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import LostProcessError, OutOfMemoryError

_SIZE = Size(height=20, width=30)


def _with_something_to_say(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding != Finding(finding.position)]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_every_picture_is_decoded_and_faults_come_in_order(tmp_path: Path, num_workers: int) -> None:
    for index in range(40):
        Image.new("RGB", (30, 20), (index, 0, 0)).save(tmp_path / f"{index}.png")
    Image.new("RGB", (20, 30)).save(tmp_path / "3.png")
    whole = (tmp_path / "21.png").read_bytes()
    (tmp_path / "21.png").write_bytes(whole[:-20])
    (tmp_path / "39.png").write_bytes(b"")
    pictures = [NamedSize(f"{index}.png", _SIZE) for index in range(40)]
    steps = list(open_all(open_images(tmp_path), pictures, num_workers=num_workers))
    assert [step.num_done for step in steps] == [16, 32, 40]
    findings = [finding for step in steps for finding in _with_something_to_say(step.findings)]
    assert [finding.position for finding in findings] == [3, 21, 39]
    portrait = Size(height=30, width=20)
    assert findings[0] == Finding(3, fault=None, true_sizes=TrueSizes(portrait, portrait))
    assert (findings[1].fault or "").startswith("cannot be decoded: ")
    assert findings[2].fault is not None


def test_a_picture_that_exif_turns_to_the_annotated_size_is_sound(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    both = [NamedSize("turned.jpg", _SIZE), NamedSize("turned.jpg", Size(height=30, width=20))]
    (step,) = open_all(open_images(tmp_path), both, num_workers=0)
    assert _with_something_to_say(step.findings) == []


def test_a_picture_without_a_size_in_its_annotations_has_both_that_it_may_have(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    (step,) = open_all(open_images(tmp_path), [NamedSize("turned.jpg", None)], num_workers=0)
    assert step.findings == [Finding(0, true_sizes=TrueSizes(stored=_SIZE, turned=Size(30, 20)))]


def test_a_picture_of_another_size_that_is_cut_off_cannot_be_read(tmp_path: Path) -> None:
    Image.effect_noise((20, 30), 80).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:-100])
    (step,) = open_all(open_images(tmp_path), [NamedSize("cut.png", _SIZE)], num_workers=0)
    assert [finding.fault is not None for finding in step.findings] == [True]


def test_files_of_one_content_have_one_digest_and_those_that_are_not_there_have_none(tmp_path: Path) -> None:
    for name, grey in (("a.png", 1), ("b.png", 2), ("c.png", 1)):
        Image.new("L", (30, 20), grey).save(tmp_path / name)
    pictures = [NamedSize(name, _SIZE) for name in ("a.png", "b.png", "c.png", "d.png")]
    (step,) = open_all(open_images(tmp_path), pictures, num_workers=0)
    first, other, same, missing = [finding.digest for finding in step.findings]
    assert first == same != other
    assert missing is None


class _DeadlyImages:
    """A source that kills the process that reads from it, as the kernel does when memory is short."""

    def read(self, name: str) -> bytes:
        os._exit(len(name))

    def find(self, names: Sequence[str]) -> FoundNames:
        return FoundNames(list(names), [], {})

    def why_missing(self, name: str) -> str:
        return f"is not {name}"

    def notes(self) -> Sequence[str]:
        return ()


def test_a_process_that_dies_is_told() -> None:
    with pytest.raises(LostProcessError, match="died after 0 of 1, perhaps for want of memory"):
        list(open_all(_DeadlyImages(), [NamedSize("a.jpg", _SIZE)], num_workers=1))


def test_a_process_that_the_system_does_not_start_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(
        OutOfMemoryError, match=r"starts no more processes .* or open fewer at once with --workers"
    ):
        list(open_all(open_images(tmp_path), [NamedSize("a.jpg", _SIZE)], num_workers=1))


class _ShortImages(_DeadlyImages):
    """A source of a process that may open no more files."""

    def read(self, name: str) -> bytes:
        raise lack_of_open_files() from OSError(errno.EMFILE, name)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_picture_is_not_blamed_where_no_more_files_may_be_open(num_workers: int) -> None:
    with pytest.raises(OutOfMemoryError, match=r"^too many open files: a process may have \d+ here"):
        list(open_all(_ShortImages(), [NamedSize("a.jpg", _SIZE)], num_workers=num_workers))
