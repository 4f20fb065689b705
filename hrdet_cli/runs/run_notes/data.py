"""Notes on pictures, boxes and classes: data that do not go with each other or with the settings."""

import re

import numpy as np

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.coco_reading import NO_MASK
from hrdet_cli.engine.data.sampling import showings_by_class
from hrdet_cli.runs.run_notes.figures import RunFigures
from hrdet_cli.runs.run_notes.picture_places import names_by_place
from hrdet_cli.runs.tiles import cut_pictures
from hrdet_cli.specs.data import RepeatFactorSpec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.wording import counted, first_and_count

_MOST_EMPTY = 0.5
_MOST_WITHOUT_MASK = 0.05
_COCO_CAP = 100
_MOST_ENLARGED = 2.5
_SIDES = (("left", "right"), ("west", "east"))


def describe_no_validation(run: RunFigures) -> str | None:
    """Training that nobody sees the success of."""
    if run.val is not None:
        return None
    return (
        "there are no validation data: nothing is evaluated and no best.pt is kept; eval, predict and export "
        "will take last.pt, and eval needs --val-data JSON IMAGES, which can be given here too"
    )


def describe_untrained_classes(run: RunFigures) -> str | None:
    """Classes without a box to train on."""
    counts = np.bincount(run.train.labels[~run.train.is_crowd], minlength=len(run.train.class_names))
    names, spare = run.train.class_names, run.train.spare_categories  # of which a notice tells already
    missing = [repr(names[label]) for label in np.flatnonzero(counts == 0).tolist() if label not in spare]
    if not missing:
        return None
    evaluated = ""
    if run.val is not None:
        val_counts = np.bincount(run.val.labels[~run.val.is_crowd], minlength=len(run.val.class_names))
        num_boxes = int(val_counts[counts == 0].sum())
        evaluated = f"; {counted(num_boxes, 'validation box is', 'validation boxes are')} of them"
    return (
        f"{counted(len(missing), 'class has', 'classes have')} no box to train on and will never be found: "
        f"{first_and_count(missing)}{evaluated}. Split the data anew, or take these categories out"
    )


def describe_idle_sampling(run: RunFigures) -> str | None:
    """Repeat factors that are all 1."""
    sampling, steps = run.spec.data.sampling, run.steps
    if not isinstance(sampling, RepeatFactorSpec):
        return None
    counts = showings_by_class(run.train, steps.indices, np.ones(steps.num_pictures))
    share = counts[counts > 0].min(initial=steps.num_pictures) / steps.num_pictures
    if share < sampling.threshold:
        return None
    cure = "--set data.sampling.kind=shuffle does the same"
    if 4 * share <= 1:
        cure = f"--set data.sampling.threshold={4 * share:.2g} shows the rarest twice as often"
    return (
        f"every class is in at least {share:.2%} of the pictures, which is not below data.sampling.threshold "
        f"({sampling.threshold:g}), so none is shown more often: {cure}"
    )


def describe_missing_masks(run: RunFigures) -> str | None:
    """Objects that are not trained on because they have no mask."""
    num_missing = run.train.dropped_boxes.get(NO_MASK, 0)
    share = num_missing / max(num_missing + int(run.train.num_boxes.sum()), 1)
    if not run.spec.model.head.has_masks or share <= _MOST_WITHOUT_MASK:
        return None
    return (
        f"{share:.0%} of the training objects have no mask and are left out, so the detector learns that "
        "nothing is where they are; boxes alone are learnt of all with --set model.head.mask=null"
    )


def describe_shared_pictures(run: RunFigures) -> str | None:
    """Validation pictures that are trained on."""
    if run.val is None or run.val_root is None:
        return None
    if run.val.fingerprint == run.train.fingerprint:
        return "the validation data are the training data, so AP does not tell how well other pictures do"
    trained = run.trained_names_by_place
    evaluated = names_by_place(run.val.file_names, {"": run.val_root})
    shared = [names[0] for place, names in trained.items() if place in evaluated]
    if not shared:
        return None
    return (
        f"{counted(len(shared), 'validation picture is', 'validation pictures are')} trained on too, so AP "
        f"promises too much: {first_and_count(shared)}. Take them out of one of the two files"
    )


def describe_repeated_pictures(run: RunFigures) -> str | None:
    """Pictures of several of the data sets to train on, or with several names in one."""
    repeated = [names for names in run.trained_names_by_place.values() if len(names) > 1]
    if not repeated:
        return None
    where, remedy = "the training data under several names", "Give them one name"
    if len(run.train_roots) > 1:
        where, remedy = "several training data sets", "Take them out of all but one"
    return (
        f"{counted(len(repeated), 'picture is', 'pictures are')} in {where}, such as "
        f"{', which is '.join(repeated[0])} too: an epoch shows them for each, with the boxes that they have "
        f"there. {remedy}"
    )


def describe_mirrored_classes(run: RunFigures) -> str | None:
    """Classes that a left-right flip exchanges."""
    if not run.spec.augmentation.flip_probability:
        return None
    names = {name.lower() for name in run.train.class_names}
    pairs = [
        (one, other)
        for one in sorted(names)
        for here, there in _SIDES
        if (other := re.sub(rf"(?<![a-z]){here}(?![a-z])", there, one)) != one and other in names
    ]
    if not pairs:
        return None
    shown = first_and_count([f"{one!r} and {other!r}" for one, other in pairs])
    return f"flips exchange left and right, and with them {shown}: --set augmentation.flip_probability=0"


def describe_empty_pictures(run: RunFigures) -> str | None:
    """Training that mostly sees pictures without a box."""
    if not run.spec.data.keep_pictures_without_boxes:
        return None
    share = float((run.train.num_boxes[run.steps.indices] == 0).mean())
    if share <= _MOST_EMPTY:
        return None
    return (
        f"{share:.0%} of the training pictures have no box, so most of the time nothing is shown: "
        "--set data.keep_pictures_without_boxes=false"
    )


def describe_enlarged_pictures(run: RunFigures) -> str | None:
    """Pictures that are enlarged so much that time is spent on no information."""
    factors = [
        placement.resized.width / run.train.size_of(index).width
        for layout in run.layouts
        for index, placement in zip(layout.request.indices, layout.placements, strict=True)
    ]
    factor = float(np.median(factors))
    if factor <= _MOST_ENLARGED:
        return None
    return (
        f"half of the pictures are enlarged {factor:.1f} times or more, which shows nothing new and makes a "
        f"step {factor**2:.0f} times as slow: set smaller {run.spec.augmentation.size_key}, "
        "evaluation.scale_pixels and canvases"
    )


def describe_unlike_scales(run: RunFigures) -> str | None:
    """Evaluation at a scale that training never sees."""
    trained = [long * short for long, short in run.spec.augmentation.scales_pixels]
    long, short = run.spec.evaluation.scale_pixels
    if min(trained) / 2.5 <= long * short <= max(trained) * 2.5:
        return None
    nearest = min(
        run.spec.augmentation.scales_pixels, key=lambda scale: abs(scale[0] * scale[1] - long * short)
    )
    return (
        f"pictures are evaluated at {long}x{short} but trained on at no scale like it, which costs AP: "
        f"--set 'evaluation.scale_pixels={list(nearest)}'"
    )


def count_beyond(annotations: CocoAnnotations, most: int) -> tuple[int, int]:
    """Pictures with more than ``most`` boxes, and their boxes beyond that number."""
    beyond = np.maximum(annotations.num_boxes - most, 0)
    return int(np.count_nonzero(beyond)), int(beyond.sum())


def describe_detection_cap(run: RunFigures) -> str | None:
    """Pictures with more boxes than detections are kept."""
    return None if run.val is None else describe_cap(run.spec, run.val)


def describe_cap(spec: ExperimentSpec, val: CocoAnnotations) -> str | None:
    """What of the boxes to find is out of reach, because fewer detections are kept of a picture, or tile."""
    model, (annotations, _) = spec.model, cut_pictures(val, spec.data)
    cap = min(limit.value for limit in model.head.limits if not limit.is_of_level)
    num_pictures, num_beyond = count_beyond(annotations, cap)
    if not num_pictures:
        return None
    share = num_beyond / int(annotations.num_boxes.sum())
    needed = -(-int(annotations.num_boxes.max()) // 100) * 100
    cure = " ".join(
        f"--set {limit.key}={limit.per_object * needed}"
        for limit in model.head.limits
        if limit.value < limit.per_object * needed
    )
    return (
        f"{counted(num_pictures, 'validation picture has', 'validation pictures have')} more boxes than the "
        f"{cap} detections that are kept of one, so {share:.1%} of the boxes are out of reach: {cure}"
        f"{_describe_coco_cap(val)}"
    )


def _describe_coco_cap(val: CocoAnnotations) -> str:
    """COCO's own rule, which no setting changes."""
    picture_of_box = np.repeat(np.arange(len(val)), np.diff(val.offsets))
    keys = np.stack([picture_of_box, val.labels])[:, ~val.is_crowd]
    _, counts = np.unique(keys, axis=1, return_counts=True)
    if counts.max(initial=0) <= _COCO_CAP:
        return ""
    return f" (COCO's AP itself counts {_COCO_CAP} detections of a class in a picture)"
