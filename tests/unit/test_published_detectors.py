"""docs/weights.md has every detector on HRNet that mmdetection published, with a preset that is it."""

import re
from pathlib import Path

import pytest

from hrdet_cli.engine.weights.mmdetection_files import STAMPS
from hrdet_cli.runs.weights.presets import contents_of_model
from hrdet_cli.specs.loading import load_spec

_DOCUMENT = (Path(__file__).parents[2] / "docs" / "weights.md").read_text(encoding="utf-8")
_ROWS = {
    name: (stamp, ap, loads_with)
    for name, stamp, ap, loads_with in re.findall(
        r"^\| `(\w+_hrnetv2p\S+)` \| (\S+) \| ([\d. /]+) \| ([^|]+) \| \w(?:, \w)* \|$",
        _DOCUMENT,
        re.MULTILINE,
    )
}
_DETECTORS = {
    "faster_rcnn": "Faster R-CNN",
    "mask_rcnn": "Mask R-CNN",
    "cascade_rcnn": "Cascade R-CNN",
    "cascade_mask_rcnn": "Cascade Mask R-CNN",
    "htc": "HTC",
    "fcos": "FCOS",
}


def test_the_table_has_all_files_with_their_dates_and_checksums() -> None:
    assert {name: stamp for name, (stamp, _, _) in _ROWS.items()} == dict(STAMPS)


@pytest.mark.parametrize("name", STAMPS)
def test_what_a_detector_loads_with_is_that_detector_on_its_backbone(name: str) -> None:
    _, ap, loads_with = _ROWS[name]
    preset, *settings = re.findall(r"`([^`]+)`", loads_with)
    spec = load_spec(preset=preset, settings=settings).spec
    contents = contents_of_model(spec.model)
    kind, _, rest = name.partition("_hrnetv2p_")
    assert (str(contents), str(contents.backbone)) == (_DETECTORS[kind], f"HRNetV2-{rest[:3].upper()}")
    assert len(ap.split(" / ")) == 1 + contents.has_masks
