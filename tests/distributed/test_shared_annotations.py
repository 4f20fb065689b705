"""Two processes that need the same annotations: one reads them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch

from hrdet_cli.engine.data import shared_annotations
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.coco_reading import load_annotations, load_coco
from hrdet_cli.engine.data.formats.source import AnnotationSource, CocoFile
from hrdet_cli.engine.data.ground_truth import GroundTruth, PackedMasks
from hrdet_cli.engine.data.segmentations import Segmentations
from hrdet_cli.engine.distributed.environment import Membership
from hrdet_cli.engine.distributed.group import joined_group
from hrdet_cli.errors import HrdetError
from tests.distributed.process_group import run_processes
from tests.free_ports import free_port

pytestmark = pytest.mark.distributed

OUTLINE, RUNS = [[1, 2, 4, 2, 1, 6]], {"size": [50, 100], "counts": [1020, 26, 3954]}
CONTENT: dict[str, Any] = {
    "images": [
        {"id": 9, "file_name": "b/nine.jpg", "height": 50, "width": 100},
        {"id": 4, "file_name": "four.jpg", "height": 80, "width": 40},
    ],
    "annotations": [
        {"id": 1, "image_id": 4, "category_id": 30, "bbox": [1, 2, 3, 4], "segmentation": OUTLINE},
        {"id": 2, "image_id": 9, "category_id": 10, "bbox": [10.5, 20, 30, 25.5], "segmentation": RUNS},
        {"id": 3, "image_id": 4, "category_id": 10, "bbox": [0, 0, 0.5, 80], "iscrowd": 1},
    ],
    "categories": [{"id": 30, "name": "dog"}, {"id": 10, "name": "cat"}],
}
WAYS = ("one file", "copies", "other content")


def in_group(rank: int, port: int, do: Callable[[], object]) -> HrdetError | None:
    """Do something in a group of two; gives the error that ended it."""

    def abort(error: HrdetError) -> NoReturn:
        raise error

    membership = Membership(
        rank=rank,
        size=2,
        local_rank=rank,
        local_size=2,
        master_address="127.0.0.1",
        master_port=port,
        started_by="torchrun",
    )
    try:
        with joined_group(membership, device_type="cpu", timeout_seconds=60, abort=abort):
            do()
    except HrdetError as error:
        return error
    return None


def work(rank: int, folder_name: str, ports: list[int]) -> None:
    folder = Path(folder_name)
    read: list[Path] = []
    loaded: list[CocoAnnotations] = []

    def load_and_count(
        source: AnnotationSource, *, with_masks: bool = False, with_truth: bool = False
    ) -> CocoAnnotations:
        read.append(source.path)
        return load_annotations(source, with_masks=with_masks, with_truth=with_truth)

    def load_all() -> None:
        paths = (folder / way / f"{rank}.json" for way in WAYS)
        loaded.extend(
            shared_annotations.load_annotations_once(CocoFile(path), with_masks=True, with_truth=True)
            for path in paths
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_annotations, "load_annotations", load_and_count)
        assert in_group(rank, ports[0], load_all) is None
        broken = folder / "broken.json"
        error = in_group(rank, ports[1], lambda: shared_annotations.load_annotations_once(CocoFile(broken)))
    torch.save(
        {
            "loaded": loaded,
            "read": [str(path.relative_to(folder)) for path in read],
            "exit code": error.exit_code if error else 0,
            "message": str(error),
        },
        folder / f"{rank}.pt",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    folder = tmp_path_factory.mktemp("annotations")
    for way in WAYS:
        (folder / way).mkdir()
        (folder / way / "0.json").write_text(json.dumps(CONTENT))
    (folder / "one file" / "1.json").symlink_to(folder / "one file" / "0.json")
    shutil.copy(folder / "copies" / "0.json", folder / "copies" / "1.json")
    (folder / "other content" / "1.json").write_text(json.dumps(CONTENT | {"annotations": []}))
    (folder / "broken.json").write_text(json.dumps(CONTENT | {"images": []}))
    ports = [free_port(), free_port()]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(pytestconfig.rootpath)  # the new processes import this file by its name
        run_processes(work, str(folder), ports, size=2)
    return folder


@pytest.fixture(scope="module")
def both(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


def test_a_file_is_read_by_the_first_process_alone_unless_another_has_another(
    both: list[dict[str, Any]],
) -> None:
    assert both[0]["read"] == ["one file/0.json", "copies/0.json", "other content/0.json", "broken.json"]
    assert both[1]["read"] == ["other content/1.json"]


def assert_same(value: Any, wanted: Any) -> None:
    """Arrays, and what holds some, are equal."""
    if isinstance(wanted, CocoAnnotations | Segmentations | GroundTruth | PackedMasks):
        for field in fields(wanted):
            assert_same(getattr(value, field.name), getattr(wanted, field.name))
    elif isinstance(wanted, np.ndarray):
        assert value.dtype == wanted.dtype
        np.testing.assert_array_equal(value, wanted)
    else:
        assert value == wanted


def test_every_process_gets_what_its_own_file_holds(folder: Path, both: list[dict[str, Any]]) -> None:
    for rank, outcome in enumerate(both):
        for way, loaded in zip(WAYS, outcome["loaded"], strict=True):
            expected = load_coco(folder / way / f"{rank}.json", with_masks=True, with_truth=True)
            assert_same(loaded, expected)


def test_a_broken_file_ends_both_with_the_same_words(folder: Path, both: list[dict[str, Any]]) -> None:
    reason = f"{folder / 'broken.json'} is not a COCO annotation file that can be used"
    assert both[0]["message"].startswith(reason)
    assert both[1]["message"].startswith("on rank 0 (")
    assert both[1]["message"].endswith(both[0]["message"])
    assert [outcome["exit code"] for outcome in both] == [3, 3]
