"""Presets for weights of other code describe what the weights hold."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from hrdet_cli.engine.weights.naming.contents import Contents, contents_of
from hrdet_cli.engine.weights.naming.mmdetection import MMDETECTION
from hrdet_cli.engine.weights.naming.torchvision import TORCHVISION
from hrdet_cli.engine.weights.naming.writer import Writer
from hrdet_cli.engine.weights.naming.year_2019 import YEAR_2019
from hrdet_cli.runs.conventions.presets import contents_of_model, likely_preset
from hrdet_cli.specs.backbone import ResNetBackboneSpec
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.presets import all_presets
from tests.state_dicts import ours_of

WRITERS: Mapping[str, Writer] = {
    "mmdetection": MMDETECTION,
    "year-2019": YEAR_2019,
    "torchvision": TORCHVISION,
}
PRESETS = {name: preset.path.parent.name for name, preset in all_presets().items()}
OF_WRITERS = {name: WRITERS[folder] for name, folder in PRESETS.items() if folder in WRITERS}


@pytest.mark.parametrize("name", OF_WRITERS)
def test_every_preset_for_weights_is_found_by_what_it_describes(name: str) -> None:
    model = load_spec(preset=name).spec.model
    style = model.backbone.style if isinstance(model.backbone, ResNetBackboneSpec) else None
    found = likely_preset(OF_WRITERS[name], contents_of_model(model), style=style)
    assert found is not None
    assert found.name == name or (
        contents_of_model(found.load().model) == contents_of_model(model) and len(found.name) <= len(name)
    )
    assert not found.settings


def one_of_each_kind() -> list[str]:
    """A preset for each head on each kind of backbone."""
    by_kind: dict[Contents, str] = {}
    for name in OF_WRITERS:
        contents = contents_of_model(load_spec(preset=name).spec.model)
        assert contents.backbone is not None
        by_kind.setdefault(replace(contents, backbone=replace(contents.backbone, variant="any")), name)
    return [*by_kind.values()]


@pytest.mark.parametrize("name", one_of_each_kind())
def test_a_spec_describes_what_the_names_of_its_detector_say(name: str) -> None:
    assert contents_of(ours_of(name)) == contents_of_model(load_spec(preset=name).spec.model)
