"""From spec to engine: the mask branch, and what lays its masks out in pictures."""

from hrdet_cli.engine.evaluation.mask_pasting import MaskPasting
from hrdet_cli.engine.models.regions.mask_branch import MaskBranch
from hrdet_cli.runs.build.regions import build_region_pooling
from hrdet_cli.specs.heads.masks import MaskSpec
from hrdet_cli.specs.heads.semantic import SemanticSpec
from hrdet_cli.specs.model import ModelSpec


def build_mask_branch(
    model: ModelSpec,
    mask: MaskSpec,
    *,
    num_classes: int,
    strides: tuple[int, ...],
    takes_features: bool = False,
    semantic: SemanticSpec | None = None,
) -> MaskBranch:
    """What finds the masks of regions of a pyramid, of which the coarsest level only proposes.

    Args:
        model: The detector it is in.
        mask: The branch.
        num_classes: K, without the background.
        strides: Of the pyramid's levels.
        takes_features: Of another branch.
        semantic: Of a head with a semantic branch, whose features are added.
    """
    return MaskBranch(
        in_channels=model.neck.channels,
        num_classes=num_classes,
        pooling=build_region_pooling(mask, strides=strides, semantic=semantic),
        num_convs=mask.num_convs,
        channels=mask.channels,
        norm=mask.norm,
        takes_features=takes_features,
    )


def build_mask_pasting(model: ModelSpec) -> MaskPasting | None:
    """What makes pixels of a detector's masks; None where it finds boxes alone."""
    masks = model.head.masks
    return None if masks is None else MaskPasting(threshold=masks.spec.threshold, rule=masks.spec.paste)
