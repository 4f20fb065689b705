"""COCO's classes, for detectors whose files do not name theirs."""

from collections.abc import Sequence

# The 80 categories of COCO's detection annotations with their ids (instances_val2017.json,
# https://cocodataset.org/#detection-eval). Missing ids belong to categories that were never annotated.
COCO_CLASSES: tuple[tuple[int, str], ...] = (
    (1, "person"),
    (2, "bicycle"),
    (3, "car"),
    (4, "motorcycle"),
    (5, "airplane"),
    (6, "bus"),
    (7, "train"),
    (8, "truck"),
    (9, "boat"),
    (10, "traffic light"),
    (11, "fire hydrant"),
    (13, "stop sign"),
    (14, "parking meter"),
    (15, "bench"),
    (16, "bird"),
    (17, "cat"),
    (18, "dog"),
    (19, "horse"),
    (20, "sheep"),
    (21, "cow"),
    (22, "elephant"),
    (23, "bear"),
    (24, "zebra"),
    (25, "giraffe"),
    (27, "backpack"),
    (28, "umbrella"),
    (31, "handbag"),
    (32, "tie"),
    (33, "suitcase"),
    (34, "frisbee"),
    (35, "skis"),
    (36, "snowboard"),
    (37, "sports ball"),
    (38, "kite"),
    (39, "baseball bat"),
    (40, "baseball glove"),
    (41, "skateboard"),
    (42, "surfboard"),
    (43, "tennis racket"),
    (44, "bottle"),
    (46, "wine glass"),
    (47, "cup"),
    (48, "fork"),
    (49, "knife"),
    (50, "spoon"),
    (51, "bowl"),
    (52, "banana"),
    (53, "apple"),
    (54, "sandwich"),
    (55, "orange"),
    (56, "broccoli"),
    (57, "carrot"),
    (58, "hot dog"),
    (59, "pizza"),
    (60, "donut"),
    (61, "cake"),
    (62, "chair"),
    (63, "couch"),
    (64, "potted plant"),
    (65, "bed"),
    (67, "dining table"),
    (70, "toilet"),
    (72, "tv"),
    (73, "laptop"),
    (74, "mouse"),
    (75, "remote"),
    (76, "keyboard"),
    (77, "cell phone"),
    (78, "microwave"),
    (79, "oven"),
    (80, "toaster"),
    (81, "sink"),
    (82, "refrigerator"),
    (84, "book"),
    (85, "clock"),
    (86, "vase"),
    (87, "scissors"),
    (88, "teddy bear"),
    (89, "hair drier"),
    (90, "toothbrush"),
)

_NAME_BY_ID = dict(COCO_CLASSES)
_ID_BY_NAME = {name: number for number, name in COCO_CLASSES}
_LAST_ID = 90


def coco_class_names(num_classes: int) -> tuple[str, ...] | None:
    """Names of the classes of a detector that was trained on COCO.

    Args:
        num_classes: 80, the classes in the order of their ids (mmdetection); or 90, a class for each id
            (torchvision), where those that were never annotated are called ``unused 12`` and so on.

    Returns:
        The names; None for another number of classes.
    """
    if num_classes == len(COCO_CLASSES):
        return tuple(name for _, name in COCO_CLASSES)
    if num_classes == _LAST_ID:
        return tuple(_NAME_BY_ID.get(number, f"unused {number}") for number in range(1, _LAST_ID + 1))
    return None


def coco_category_ids(class_names: Sequence[str]) -> tuple[int, ...] | None:
    """COCO's category ids of classes; None if a name is not one of COCO's."""
    ids = [_category_id(name) for name in class_names]
    known = [number for number in ids if number is not None]
    return tuple(known) if len(known) == len(ids) else None


def _category_id(name: str) -> int | None:
    unused = name.removeprefix("unused ")
    if unused != name and unused.isdigit() and int(unused) not in _NAME_BY_ID:
        return int(unused)
    return _ID_BY_NAME.get(name)
