"""Which share of boxes anchors reach: those of presets, fitted ones, a scale for each level, twice as many.

Anchors are fitted to training boxes, as ``anchor_scale=auto`` and ``auto-by-level`` do, and counted on these
and on the validation pictures' boxes, at the scales of training.
"""

import argparse
from pathlib import Path
from typing import Literal

from hrdet_cli.runs.anchor_advice import advise_anchors
from hrdet_cli.runs.dataset.opening import open_part
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import load_spec, with_settings

from .reporting import show_table

PARTS: tuple[Literal["train"], Literal["val"]] = ("train", "val")
PRESETS = ("hrnet-w18", "hrnet-w18-mstrain-pad", "lsj-w18", "demo")


def main() -> None:
    """Print a row for each data set and preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folders", nargs="+", type=Path, help="each with instances_train.json, instances_val.json and images"
    )
    parser.add_argument("--presets", nargs="+", default=PRESETS)
    arguments = parser.parse_args()
    show_table(
        "Share of the boxes that an anchor overlaps at least positive_iou: of training, of validation",
        ["data, preset", "preset's", "fitted", "by level", "denser"],
        [measure(folder, preset) for folder in arguments.folders for preset in arguments.presets],
    )


def measure(folder: Path, preset: str) -> list[str]:
    """A row: of each kind of anchors, both shares."""
    settings = [f"data.{part}.annotations={folder / f'instances_{part}.json'}" for part in PARTS]
    settings += [f"data.{part}.images={folder / 'images'}" for part in PARTS]
    spec = load_spec(preset=preset, settings=[*settings, "data.demo=null"]).spec
    section = spec.model.head.anchors
    if section is None:
        raise SystemExit(f"{preset}: has no anchors")
    by_level = with_settings(spec, (f"{section.key}.anchor_scale=auto-by-level",))
    advice = advise_anchors(by_level, open_part(spec.data, "train").annotations)
    if advice is None:
        raise SystemExit(f"{folder}: has no boxes")
    others = (advice.fitted, advice.by_level, advice.denser)
    chosen = (spec, *(with_settings(spec, choice.settings) for choice in others if choice is not None))
    return [f"{folder.name}, {preset}", *map(shares, chosen)]


def shares(spec: ExperimentSpec) -> str:
    """Of both parts, with the anchors of a spec."""
    found = (advise_anchors(spec, open_part(spec.data, part).annotations) for part in PARTS)
    return ", ".join(f"{advice.present.recall:.1%}" for advice in found if advice and advice.present)


if __name__ == "__main__":
    main()
