"""mmdetection's own configurations, where they are: in an installed mmdet, or where a variable says."""

import os
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest

from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.mmdetection.config_file import read_config
from hrdet_cli.specs.mmdetection.translation import translate

_VARIABLE = "HRDET_MMDETECTION_CONFIGS"
_PRESETS = {
    "faster-rcnn": "mmdet3-hrnet-w",
    "mask-rcnn": "mmdet3-mask-hrnet-w",
    "cascade-rcnn": "mmdet3-cascade-hrnet-w",
    "cascade-mask-rcnn": "mmdet3-cascade-mask-hrnet-w",
    "htc": "mmdet3-htc-hrnet-w",
    "fcos": "mmdet3-fcos-hrnet-w",
}
_OF_THE_RECIPE = (
    "name",
    "description",
    "model.weights",  # a name that fetches what the preset names as a file
    "data.batch_size_per_process",  # two pictures on eight GPUs; the preset has four on four
    "data.num_workers",
    "optimisation.max_warmup_share",  # the preset cuts the warm-up of small data
    "run.log_every_steps",
    "run.checkpoint_every_epochs",
)
"""What a configuration has otherwise than the preset with its conventions."""
_OF_LONGER_RECIPES = (
    "optimisation.num_epochs",
    "optimisation.schedule.drop_epochs",
    "optimisation.warmup_shape",
    "optimisation.warmup_factor",
    "augmentation.scales_pixels",
)


def _folder() -> Path:
    if _VARIABLE in os.environ:
        return Path(os.environ[_VARIABLE])
    try:
        found = [file for file in files("mmdet") or () if file.match("configs/hrnet/*.py")]
    except PackageNotFoundError:
        found = []
    if not found:
        pytest.skip(f"mmdet is not installed, and {_VARIABLE} names no folder with its configs")
    return Path(str(found[0].locate())).parents[1]


def test_every_hrnet_config_has_the_values_of_its_preset() -> None:
    configs = sorted((_folder() / "hrnet").glob("*hrnetv2p*.py"))
    assert len(configs) == 29
    for config in configs:
        detector, _, rest = config.stem.partition("_hrnetv2p-w")
        preset = load_spec(preset=f"{_PRESETS[detector]}{rest[:2]}").spec
        theirs = preset.values_by_key()
        ours = translate(read_config(config)).spec.values_by_key()
        differing = {key for key in theirs | ours if theirs.get(key) != ours.get(key)}
        is_longer = any(word in rest for word in ("2x", "28e"))
        allowed = {*_OF_THE_RECIPE, *(_OF_LONGER_RECIPES if is_longer else ())}
        assert differing <= allowed, (config.name, differing - allowed)
