from pathlib import Path

import pytest

from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import load_spec

_SETTINGS = (
    "data.demo={seed: 1, num_train_images: 26, num_val_images: 1}",
    "data.batch_size_per_process=2",
    "augmentation.scales_pixels=[[160, 128], [128, 96], [96, 96]]",
    "padding.canvas_pixels=[160, 128]",
)


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo data of all specs here are drawn, once."""
    return tmp_path_factory.mktemp("inspected") / "data"


def tiny_spec(root: Path, *settings: str) -> ExperimentSpec:
    """The demo preset on 26 small pictures."""
    loaded = load_spec(
        preset="demo",
        spec_file=None,
        extra_layers=[],
        settings=[*_SETTINGS, f"data.root={root}", *settings],
    )
    return loaded.spec
