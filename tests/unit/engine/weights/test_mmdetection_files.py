"""mmdetection's published detectors on HRNet have names that are fetched."""

import re

import pytest

from hrdet_cli.engine.weights.mmdetection_files import STAMPS, mmdetection_url, published_name
from hrdet_cli.engine.weights.origins import origin_of
from hrdet_cli.errors import WeightsError


def test_all_28_have_an_address_that_carries_their_checksum() -> None:
    assert len(STAMPS) == 28
    for name in STAMPS:
        pattern = rf"https://download\.openmmlab\.com/mmdetection/v2\.0/hrnet/{name}/{name}_20\d{{6}}(_\d{{6}})?-[0-9a-f]{{8}}\.pth"
        assert re.fullmatch(pattern, mmdetection_url(name))


def test_a_file_s_name_with_its_date_or_without_leads_to_the_same() -> None:
    for file in ("htc_hrnetv2p_w18_20e_coco.pth", "htc_hrnetv2p_w18_20e_coco_20200210-b266988c.pth"):
        assert published_name(file) == "htc_hrnetv2p_w18_20e_coco"
        origin = origin_of(f"weights/{file}")
        assert origin is not None
        assert origin.name == "mmdet:htc_hrnetv2p_w18_20e_coco"
        assert origin.page.endswith("/htc_hrnetv2p_w18_20e_coco_20200210-b266988c.pth")
    assert published_name("htc_hrnetv2p_w18_20e_coco_20200210-00000000.pth") is None


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("htc_hrnetv2p_w18_20e", r"did you mean mmdet:htc_hrnetv2p_w18_20e_coco or "),
        ("yolo", r"docs/weights\.md lists them$"),
    ],
)
def test_other_names_are_refused_with_those_that_are_near(name: str, hint: str) -> None:
    what = "is none of the 28 detectors on HRNet that mmdetection published"
    with pytest.raises(WeightsError, match=rf"^mmdet:{name}: {what}; {hint}"):
        mmdetection_url(name)
