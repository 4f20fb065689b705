from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from hrdet_cli.engine.weights.coco_classes import COCO_CLASSES, coco_category_ids, coco_class_names

TORCHVISION = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]


def test_the_table_is_torchvision_s_without_its_gaps() -> None:
    assert {number: TORCHVISION[number] for number, _ in COCO_CLASSES} == dict(COCO_CLASSES)
    assert len(COCO_CLASSES) == 80
    assert sum(name == "N/A" for name in TORCHVISION) == len(TORCHVISION) - 81


def test_80_classes_are_in_the_order_of_their_ids() -> None:
    names = coco_class_names(80)
    assert names == tuple(name for name in TORCHVISION[1:] if name != "N/A")
    assert coco_category_ids(names or ()) == tuple(
        number for number, name in enumerate(TORCHVISION) if number > 0 and name != "N/A"
    )


def test_90_classes_are_one_for_each_id() -> None:
    names = coco_class_names(90)
    assert names == tuple(
        f"unused {number}" if name == "N/A" else name for number, name in enumerate(TORCHVISION) if number > 0
    )
    assert coco_category_ids(names or ()) == tuple(range(1, 91))


def test_other_classes_are_not_coco_s() -> None:
    assert coco_class_names(20) is None
    assert coco_category_ids(["person", "platelet"]) is None
    assert coco_category_ids(["unused 1"]) is None  # id 1 is in use
    assert coco_category_ids(["toothbrush", "person"]) == (90, 1)
