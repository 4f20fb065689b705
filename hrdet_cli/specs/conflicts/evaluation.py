"""What is asked of evaluations that cannot be done, or would do nothing."""

from collections.abc import Iterator

from hrdet_cli.specs.base import Problem
from hrdet_cli.specs.data import DataSpec
from hrdet_cli.specs.heads.head import HeadSpec
from hrdet_cli.specs.run import EvaluationSpec


def evaluation_problems(evaluation: EvaluationSpec, *, head: HeadSpec, data: DataSpec) -> Iterator[Problem]:
    """What does not go together with ``evaluation``."""
    yield from _idle_problems(evaluation, data)
    if evaluation.best_by == "loss" and not evaluation.with_loss:
        yield (
            "evaluation.best_by",
            "'loss' is only known with evaluation.with_loss=true; set that too, or evaluation.best_by=auto",
        )
    views = evaluation.test_time_augmentation
    if views is not None and evaluation.with_loss:
        yield (
            "evaluation.with_loss",
            "true is not for evaluation.test_time_augmentation, which would count a picture's losses several "
            "times; set evaluation.with_loss=false, or evaluation.test_time_augmentation=null",
        )
    if views is not None and not views.flip and views.scales_pixels is None:
        yield (
            "evaluation.test_time_augmentation",
            "neither has scales_pixels nor flips, so it does nothing; set it to null",
        )
    label_maps = head.label_maps
    if evaluation.with_loss and label_maps is not None:
        yield (
            "evaluation.with_loss",
            f"true is not for {label_maps.key}, whose loss needs label maps, which validation pictures lack; "
            f"set evaluation.with_loss=false, or {label_maps.key}=null",
        )
    if evaluation.best_by == "mask" and not head.has_masks:
        yield (
            "evaluation.best_by",
            f"'mask' is for detectors that find masks, and model.head.kind={head.kind} is set to "
            "find boxes alone; set evaluation.best_by=box, or model.head.mask={} where the head has one",
        )
    if evaluation.best_by == "recall" and head.tells_classes:
        yield (
            "evaluation.best_by",
            f"'recall' is for heads that only propose, and model.head.kind={head.kind} tells "
            "classes apart; set evaluation.best_by=box, or model.head.kind=rpn",
        )


def _idle_problems(evaluation: EvaluationSpec, data: DataSpec) -> Iterator[Problem]:
    """What is to be done at evaluations, where there are none."""
    reason = ""
    if evaluation.every_num_epochs == 0:
        reason = "evaluation.every_num_epochs=0 never evaluates"
    elif data.val is None:
        reason = "there are no validation data (data.val is null)"
    if reason and evaluation.patience is not None:
        yield "evaluation.patience", f"does nothing where {reason}; set it to null"
    if reason and evaluation.with_loss:
        yield "evaluation.with_loss", f"does nothing where {reason}; set it to false"
