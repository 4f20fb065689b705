"""The table of published weights on a screen."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from hrdet_cli.cli.display.published_weights import draw_addresses, draw_published
from hrdet_cli.engine.weights.published.table import PUBLISHED, find_published, with_words


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def lines(*words: str, width: int) -> list[str]:
    screen = io.StringIO()
    Console(file=screen, width=width).print(draw_published(with_words(words)))
    return [line.rstrip() for line in screen.getvalue().splitlines()]


def test_a_wide_screen_has_a_table_and_a_narrow_one_two_lines_for_each(cache: Path) -> None:
    wide = lines("htc", "w18", "mmdet3", width=120)
    assert wide[:3] == [
        "mmdetection 2 and 3",
        "name                             what it is           figures         loads with",
        "mmdet:htc_hrnetv2p_w18_20e_coco  HTC HRNetV2-W18 20e  42.8 / 37.9 AP  mmdet3-htc-hrnet-w18",
    ]
    assert lines("htc", "w18", "mmdet3", width=60)[1:3] == [
        "mmdet:htc_hrnetv2p_w18_20e_coco",
        "  HTC HRNetV2-W18 20e  42.8 / 37.9 AP  mmdet3-htc-hrnet-w18",
    ]


def test_names_are_whole_on_every_screen_so_that_they_can_be_copied() -> None:
    for width in (80, 120, 160):
        shown = "\n".join(lines(width=width))
        assert all(weights.name in shown for weights in PUBLISHED if weights.name)


def test_what_the_cache_has_is_marked(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "htc_hrnetv2p_w18_20e_coco_20200210-b266988c.pth").touch()
    assert any("mmdet:htc_hrnetv2p_w18_20e_coco *" in line for line in lines("htc", "w18", width=120))


def test_files_that_no_program_gets_are_explained_where_there_are_any() -> None:
    hint = "--addresses shows where the files are; names with * are in the cache"
    assert lines("htc", "w18", "mmdet3", width=120)[-1] == hint
    assert lines("htc", "w18", width=160)[-1] == (
        f"{hint}; with a browser: their publisher gives them to no program"
    )


def test_addresses_stand_below_their_file_and_its_checksum() -> None:
    text = draw_addresses([find_published("mmdet:resnet50_msra")]).plain.splitlines()
    assert text == [
        "mmdet:resnet50_msra  mmdetection",
        "  backbone ResNet-50 caffe style",
        "  file resnet50_msra-5891d200.pth, SHA-256 5891d200...",
        "    https://download.openmmlab.com/pretrain/third_party/resnet50_msra-5891d200.pth",
        "    https://open-mmlab.s3.ap-northeast-2.amazonaws.com/pretrain/third_party/resnet50_msra-5891d200.pth",
        "  listed at https://github.com/open-mmlab/mmcv/blob/main/mmcv/model_zoo/open_mmlab.json",
    ]
