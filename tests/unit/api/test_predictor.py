"""Detectors in scripts: loaded, looked through, and of pictures in every form."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

import hrdet_cli as hrdet
from hrdet_cli.api.predictor import detector_in_memory
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.label_maps import LabelMaps
from hrdet_cli.engine.data.transforms import Placement
from hrdet_cli.engine.geometry import Size
from hrdet_cli.runs.origin import changes_with_effect
from hrdet_cli.runs.predict.prediction import predict_pictures
from hrdet_cli.runs.trained_detector.reading import read_trained_detector
from hrdet_cli.specs.layers import mapping_layers
from tests.generators import result_of


@pytest.fixture(scope="module")
def document(
    checkpoint: Path, pictures: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What `hrdet predict` writes."""
    work = predict_pictures(
        read_trained_detector(str(checkpoint)),
        pictures,
        out=tmp_path_factory.mktemp("predicted"),
        min_score=0.02,
        batch_size=None,
        stop_asked=lambda: False,
    )
    return result_of(work).document


def as_upright_array(path: Path) -> Any:
    with Image.open(path) as picture:
        return np.array(ImageOps.exif_transpose(picture).convert("RGB"))


def as_mirrored_view(path: Path) -> Any:
    """Blue first, as OpenCV reads, and turned round again: no copy, and no order in memory."""
    return as_upright_array(path)[..., ::-1].copy()[..., ::-1]


@pytest.mark.parametrize("form", [Path, str, as_upright_array, as_mirrored_view, Image.open])
def test_what_is_found_is_to_the_bit_what_hrdet_predict_finds(
    form: Callable[[Path], Any],
    document: dict[str, Any],
    detector: hrdet.Predictor,
    pictures: list[Path],
) -> None:
    found = detector.predict([form(path) for path in pictures], min_score=0.02)
    ours = [result for number, one in enumerate(found, start=1) for result in one.to_coco(number)]
    theirs = [
        {key: value for key, value in result.items() if key not in ("id", "area", "iscrowd")}
        for result in document["annotations"]
    ]
    assert ours == theirs
    assert len(ours) == 60
    assert "segmentation" in ours[0]
    sizes = [(image["height"], image["width"]) for image in document["images"]]
    assert [(one.height, one.width) for one in found] == sizes == [(120, 160), (90, 130), (120, 160)]


def test_one_picture_gives_one_result_and_several_a_list_in_their_order(
    detector: hrdet.Predictor, pictures: list[Path]
) -> None:
    many = detector.predict(iter([*pictures, *pictures]), min_score=0.02, batch_size=2)
    one = detector.predict(pictures[1], min_score=0.02)
    assert [found.picture for found in many] == [str(path) for path in [*pictures, *pictures]]
    for other in (many[1], many[4]):
        assert one.labels.tolist() == other.labels.tolist()
        assert one.scores == pytest.approx(other.scores, abs=1e-5)
        assert one.boxes == pytest.approx(other.boxes, abs=1e-2)
    assert detector.predict([]) == []
    assert detector.predict(np.zeros((20, 30, 3), np.uint8)).picture == "picture 1"


ARRAY = np.zeros((40, 60, 3), np.uint8)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (ARRAY.astype(np.float32), r"of float32, .* write \(array \* 255\).round\(\).astype\('uint8'\)"),
        (ARRAY.astype(np.int64), r"of int64, .* write array.astype\('uint8'\)"),
        (ARRAY.transpose(2, 0, 1), r"\(3, 40, 60\) of uint8, .* array.transpose\(1, 2, 0\)"),
        (ARRAY[..., 0], r"\(40, 60\) of uint8, .* Image.fromarray\(array\).convert\('RGB'\)"),
        (np.zeros((40, 60, 4), np.uint8), r"array\[..., :3\]"),
        (ARRAY[None], r"\(1, 40, 60, 3\) .* as a list"),
        (ARRAY[:0], r"\(0, 60, 3\) of uint8, and must be \(H, W, 3\)"),
        (torch.zeros(3, 40, 60), r"is a Tensor; .* tensor.permute\(1, 2, 0\).numpy\(\)"),
        ("nowhere/1.jpg", "nowhere/1.jpg: does not exist; give a path"),
        (".", r"^\.: is a folder; give its pictures, as with sorted"),
        (Image.new("F", (8, 8)), "picture 1 cannot be decoded: pixels of mode F have no known range"),
        (7, "a int is no picture; give a path, an array"),
        ([ARRAY, 7], "picture 2 is a int; give a path"),
    ],
)
def test_what_is_no_picture_is_refused_with_what_to_do(
    detector: hrdet.Predictor, picture: Any, message: str
) -> None:
    with pytest.raises(hrdet.DataError, match=message):
        detector.predict(picture)


def test_the_module_is_what_predicts_and_keeps_its_mode(checkpoint: Path, pictures: list[Path]) -> None:
    detector = hrdet.load(checkpoint)
    before = detector.predict(pictures[0], min_score=0)
    assert isinstance(detector.module, torch.nn.Module)
    assert not detector.module.training
    detector.module.train()
    assert detector.predict(pictures[0], min_score=0).to_coco(1) == before.to_coco(1)
    assert all(module.training for module in detector.module.modules())
    with torch.no_grad():
        for parameter in detector.module.parameters():
            parameter.mul_(0.5)
    assert detector.predict(pictures[0], min_score=0).to_coco(1) != before.to_coco(1)


def test_a_loaded_detector_tells_what_it_is(checkpoint: Path) -> None:
    detector = hrdet.load(checkpoint, settings={"evaluation.batch_size": 3, "run.device": "cpu"})
    assert repr(detector) == f"<Predictor {checkpoint}: 2 classes, on cpu>"
    assert (detector.class_names, detector.category_ids) == (("cat", "dog"), (3, 7))
    assert detector.spec["evaluation"]["batch_size"] == 3
    with pytest.raises(hrdet.SpecError, match=r"^settings: evaluation.batch_size: must be .*; got 'zero'$"):
        hrdet.load(checkpoint, settings={"evaluation.batch_size": "zero"})
    with pytest.raises(hrdet.SpecError, match=r"^settings: data.root: a value of the type object has no"):
        hrdet.load(checkpoint, settings={"data.root": object()})
    with pytest.raises(hrdet.WeightsError, match="does not exist; give a run folder"):
        hrdet.load(checkpoint.with_name("other.pt"))


def test_pictures_that_memory_does_not_hold_are_an_error_that_says_what_to_do(
    detector: hrdet.Predictor, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def detect(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(type(detector.module), "detect", detect)
    told = r"^1 picture on a canvas of \d+x\d+ does not fit into memory; take a smaller evaluation\.scale_p"
    with pytest.raises(hrdet.OutOfMemoryError, match=told):
        detector.predict(pictures[0], batch_size=1)
    with pytest.raises(hrdet.OutOfMemoryError, match="; take a batch size of 1 or a smaller evaluation"):
        detector.predict(pictures[0], batch_size=2)


def test_results_of_a_detector_in_memory_say_what_was_changed(checkpoint: Path) -> None:
    detector = hrdet.load(checkpoint, settings={"model.head.roi_head.nms_iou": 0.6})
    settings = {"evaluation.scale_pixels": [96, 64], "run.device": "cpu"}
    in_memory = detector_in_memory(detector, mapping_layers(settings))
    assert changes_with_effect(in_memory) == {
        "model.head.roi_head.nms_iou": 0.6,
        "evaluation.scale_pixels": [96, 64],
    }
    built = hrdet.build("demo", class_names=["cat"])
    assert changes_with_effect(detector_in_memory(built, mapping_layers(settings))) == {
        "evaluation.scale_pixels": [96, 64],
    }


def test_a_detector_of_a_preset_learns_in_a_loop_of_ones_own(pictures: list[Path]) -> None:
    torch.manual_seed(0)
    detector = hrdet.build(
        "demo-mask", class_names=["cat", "dog"], settings={"model.head.roi_head.num_samples": 64}
    )
    assert detector.module.training
    whole = np.zeros((2, 120, 160), np.bool_)
    whole[0, 20:60, 10:80] = whole[1, 50:110, 60:130] = True
    images, targets = hrdet.make_batch(
        [pictures[0], as_upright_array(pictures[1])],
        boxes=[[(10, 20, 80, 60), (60, 50, 130, 110)], []],
        labels=[[0, 1], []],
        masks=[whole, []],
    )
    assert images.pixels.shape == (2, 3, 128, 160)
    assert targets.masks is not None
    assert targets.masks[0, :2].min() == 1
    optimiser = torch.optim.SGD(detector.module.parameters(), lr=0.01)
    sums = []
    for _ in range(3):
        losses = detector.module(images, targets)
        total = sum(losses.values())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        sums.append(total.item())
    assert sums[-1] < 0.95 * sums[0]
    assert set(losses) == {"rpn_objectness", "rpn_box", "roi_class", "roi_box", "roi_mask"}


def test_a_semantic_branch_learns_from_label_maps(pictures: list[Path], tmp_path: Path) -> None:
    torch.manual_seed(0)
    cascade = {
        "model.head.kind": "cascade_rcnn",
        "model.head.semantic": {"num_labels": 3},
        "data.train.label_maps": "maps",
    }
    detector = hrdet.build("demo", class_names=["cat"], settings=cascade)
    label_map = np.random.default_rng(1).choice([0, 1, 2, 255], (120, 160))
    given = pictures[:1], [[(10, 20, 80, 60)]], [[0]]
    images, targets = hrdet.make_batch(*given, label_maps=[label_map])
    Image.fromarray(label_map.astype(np.uint8)).save(tmp_path / "a.png")
    maps = LabelMaps(open_images(tmp_path), num_labels=3)
    size = Size(120, 160)
    assert targets.semantic is not None
    assert targets.semantic.shape == (1, 16, 20)  # of a canvas of 160x128
    assert np.array_equal(targets.semantic[0, :15], maps.read("a.jpg", size, Placement(size)))
    assert (targets.semantic[0, 15:] == 255).all()
    assert detector.module(images, targets)["semantic"] > 0
    for wrong, message in (
        (label_map.T, r"its label map is \(160, 120\) of int64, and must be \(120, 160\) of whole numbers"),
        (label_map / 2, r"of float64, and must be \(120, 160\) of whole numbers, a label for each pixel"),
        (label_map - 1, "its label map has -1 to 254; labels are counted from 0"),
    ):
        with pytest.raises(hrdet.DataError, match=message):
            hrdet.make_batch(*given, label_maps=[wrong])
    with pytest.raises(hrdet.DataError, match="label_maps: of 2 pictures, and there are 1"):
        hrdet.make_batch(*given, label_maps=[label_map, label_map])


@pytest.mark.parametrize(
    ("boxes", "labels", "message"),
    [
        ([[(10, 20, 10, 60)]], [[0]], r"\[10.0, 20.0, 10.0, 60.0\] is no box of x1, y1, x2, y2 inside"),
        ([[(10, 20, 161, 60)]], [[0]], "inside a picture of 160x120, width x height"),
        ([[(10, 20, 80, 60)]], [[0, 1]], "has 1 boxes and 2 labels"),
        ([[(10, 20, 80, 60)]], [[-1]], "has a label below 0"),
        ([], [[0]], "boxes: of 0 pictures, and there are 1"),
    ],
)
def test_ground_truth_that_does_not_fit_is_refused(
    pictures: list[Path], boxes: list[Any], labels: list[Any], message: str
) -> None:
    with pytest.raises(hrdet.DataError, match=message):
        hrdet.make_batch(pictures[:1], boxes, labels)


def test_objects_without_masks_are_refused_where_masks_are_given(pictures: list[Path]) -> None:
    with pytest.raises(hrdet.DataError, match=r"masks are \(0,\), and must be \(1, 120, 160\)"):
        hrdet.make_batch(pictures[:1], [[(10, 20, 80, 60)]], [[0]], masks=[[]])


def test_names_of_classes_must_be_names() -> None:
    with pytest.raises(hrdet.SpecError, match="class_names: must be different names"):
        hrdet.build("demo", class_names="cat")
    with pytest.raises(hrdet.SpecError, match="class_names: must be different names"):
        hrdet.build("demo", class_names=["cat", "cat"])
