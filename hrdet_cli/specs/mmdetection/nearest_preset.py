"""A spec as a file that people can read: the nearest preset, and what differs from it."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from hrdet_cli.specs.base import SECTION_KINDS, Spec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.keys import leaves
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.mmdetection.dialects import Generation
from hrdet_cli.specs.presets import all_presets

_FOLDERS: Mapping[Generation, str] = MappingProxyType({1: "year-2019", 2: "mmdetection", 3: "mmdetection"})
"""Where presets with the conventions of each generation are."""
_OF_PROPOSALS = "proposals"
_OWN = ("name", "description")


def nearest_preset(spec: ExperimentSpec, generation: Generation) -> tuple[str, dict[str, Any]]:
    """The preset from which a spec differs in the fewest values, and these.

    The preset's layers under the values make the spec again.
    """
    folders = (_FOLDERS[generation],) if spec.model.head.tells_classes else (_OF_PROPOSALS,)
    candidates = [
        (name, differences(load_spec(preset=name).spec, spec))
        for name, preset in all_presets().items()
        if preset.path.parent.name in folders
    ]
    return min(candidates, key=lambda found: (sum(1 for _ in leaves(found[1])), len(found[0]), found[0]))


def differences(below: Spec, above: Spec) -> dict[str, Any]:
    """What to put over one spec to have another: nested, and sections of another kind whole."""
    return dict(_differences(below, above))


def _differences(below: Spec, above: Spec) -> Iterator[tuple[str, Any]]:
    plain = above.model_dump(mode="json")
    for name in type(above).model_fields:
        old, new = getattr(below, name), getattr(above, name)
        if old == new and name not in _OWN:
            continue
        if isinstance(new, Spec) and type(new) is type(old):
            yield name, differences(old, new)
        elif isinstance(new, Spec):
            kinds = {key: getattr(new, key) for key in SECTION_KINDS if key in type(new).model_fields}
            yield name, kinds | new.model_dump(mode="json", exclude_defaults=True)
        else:
            yield name, plain[name]
