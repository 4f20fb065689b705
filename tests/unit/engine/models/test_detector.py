import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.losses import BoxLoss
from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.sampling import Sampler
from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.dense.anchor_shapes import AnchorLayout
from hrdet_cli.engine.models.dense.anchors import AnchorGenerator
from hrdet_cli.engine.models.dense.proposals import ProposalSelector
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.box_stage import BoxStage
from hrdet_cli.engine.models.regions.pooling import RegionPooling
from hrdet_cli.engine.models.regions.region_draw import RegionDraw
from hrdet_cli.engine.models.two_stage import TwoStageHead
from hrdet_cli.engine.norm.valid_area import ValidArea, without_padding
from hrdet_cli.engine.structures import Detections, ImageBatch, Targets
from tests.two_stage import two_stage

NUM_CLASSES = 3
STRIDES = (4, 8, 16, 32, 64)
LOSSES = {"rpn_objectness", "rpn_box", "roi_class", "roi_box"}
PLAIN_LAYOUT, PLAIN_CLIPPING = AnchorLayout(), BoxClipping()


class TinyPyramid(nn.Module):
    """One strided convolution per level."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.down = nn.ModuleList(nn.Conv2d(8, 8, 2, stride=2) for _ in range(4))

    def forward(self, pixels: Tensor, area: ValidArea | None) -> tuple[Tensor, ...]:
        levels = [self.stem(pixels)]
        for layer in self.down:
            levels.append(layer(levels[-1]))
        return tuple(without_padding(level, area) for level in levels)


class NoNeck(nn.Module):
    """The levels as they are."""

    def forward(self, levels: tuple[Tensor, ...], area: ValidArea | None) -> Pyramid:
        return Pyramid(levels, STRIDES, area)  # the levels have no padding left


def make_detector(
    *, seed: int = 0, layout: AnchorLayout = PLAIN_LAYOUT, clipping: BoxClipping = PLAIN_CLIPPING
) -> Detector:
    torch.manual_seed(seed)
    proposes_200 = ProposalSelector(
        num_candidates_per_level=200, nms_iou=0.7, max_proposals=200, clipping=clipping
    )
    rpn = RegionProposalNetwork(
        in_channels=8,
        anchor_generator=AnchorGenerator(strides=STRIDES, layout=layout),
        coder=BoxCoder(stds=(1, 1, 1, 1)),
        matcher=Matcher(positive_iou=0.7, negative_iou=0.3, min_positive_iou=0.3),
        sampler=Sampler(num_samples=64, positive_fraction=0.5, stream=0),
        box_loss=BoxLoss(kind="smooth_l1", beta=1 / 9),
        allowed_border=None,
        training_selector=proposes_200,
        test_selector=ProposalSelector(num_candidates_per_level=100, nms_iou=0.7, max_proposals=100),
    )
    roi_head = BoxStage(
        in_channels=8,
        num_classes=NUM_CLASSES,
        pooling=RegionPooling(strides=(4, 8, 16, 32), cells=3, sampling_ratio=2, aligned=True),
        hidden_features=16,
        coder=BoxCoder(stds=(0.1, 0.1, 0.2, 0.2)),
        box_loss=BoxLoss(kind="l1"),
    )
    region_draw = RegionDraw(
        num_classes=NUM_CLASSES,
        matcher=Matcher(positive_iou=0.5, negative_iou=0.5, min_positive_iou=None),
        sampler=Sampler(num_samples=32, positive_fraction=0.25, stream=1),
    )
    return Detector(
        backbone=TinyPyramid(),
        neck=NoNeck(),
        head=TwoStageHead(
            rpn=rpn,
            region_draw=region_draw,
            roi_head=roi_head,
            selector=DetectionSelector(score_threshold=0.05, nms_iou=0.5, max_detections=100),
        ),
        pixel_mean=(10.0, 20.0, 30.0),
        pixel_std=(2.0, 4.0, 5.0),
    )


def make_lively_detector() -> Detector:
    """One that detects something: weights larger than the initial ones."""
    detector = make_detector().eval()
    with torch.no_grad():
        head = two_stage(detector)
        head.rpn.objectness.weight.mul_(30)
        head.rpn.deltas.weight.mul_(10)
        head.roi_head.classifier.weight.mul_(5)
        head.roi_head.regressor.weight.mul_(100)
    return detector


def make_images(*, sizes: list[list[int]], canvas: tuple[int, int] = (128, 128)) -> ImageBatch:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.zeros(len(sizes), 3, *canvas, dtype=torch.uint8)
    for picture, (height, width) in zip(pixels, sizes, strict=True):
        picture[:, :height, :width] = torch.randint(0, 256, (3, height, width), generator=generator)
    return ImageBatch(pixels=pixels, sizes=torch.tensor(sizes), keys=torch.arange(len(sizes)) + 2**40)


def make_targets(num_boxes: list[int], *, num_rows: int) -> Targets:
    generator = torch.Generator().manual_seed(1)
    is_valid = torch.arange(num_rows) < torch.tensor(num_boxes)[:, None]
    corners = torch.rand(len(num_boxes), num_rows, 2, generator=generator) * 90
    sides = torch.rand(len(num_boxes), num_rows, 2, generator=generator) * 20 + 16
    labels = torch.randint(0, NUM_CLASSES, (len(num_boxes), num_rows), generator=generator)
    boxes = torch.cat((corners, corners + sides), dim=-1)
    return Targets(boxes=boxes * is_valid[..., None], labels=labels * is_valid, is_valid=is_valid)


def found_in(detections: Detections, picture: int) -> tuple[Tensor, Tensor, Tensor]:
    rows = detections.is_valid[picture]
    return detections.boxes[picture][rows], detections.scores[picture][rows], detections.labels[picture][rows]


@pytest.mark.parametrize("num_boxes", [[0, 0], [0, 1], [1, 7], [500, 0]])
def test_losses_are_finite_and_every_parameter_gets_a_finite_gradient(num_boxes: list[int]) -> None:
    detector = make_detector()
    images = make_images(sizes=[[128, 128], [100, 128]])
    losses = detector(images, make_targets(num_boxes, num_rows=max(8, *num_boxes)))
    assert set(losses) == LOSSES
    for name, loss in losses.items():
        assert loss.shape == ()
        assert loss.dtype == torch.float32
        assert loss.isfinite(), name
        assert (loss > 0) == (max(num_boxes) > 0 or "box" not in name), name
    sum(losses.values()).backward()
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if max(num_boxes) > 0 and not name.startswith("backbone."):
            assert (parameter.grad != 0).any(), name


def test_the_same_batch_gives_the_same_losses_to_the_bit_and_other_keys_give_others() -> None:
    detector = make_detector()
    images, targets = make_images(sizes=[[128, 128], [100, 128]]), make_targets([3, 7], num_rows=8)
    torch.manual_seed(5)
    first = detector(images, targets)
    torch.manual_seed(6)
    second = detector(images, targets)
    third = detector(ImageBatch(images.pixels, images.sizes, images.keys + 1), targets)
    assert all(torch.equal(first[name], second[name]) for name in LOSSES)
    assert not torch.equal(first["rpn_objectness"], third["rpn_objectness"])
    assert not torch.equal(first["roi_class"], third["roi_class"])


@pytest.mark.parametrize(
    ("layout", "clipping"),
    [
        (PLAIN_LAYOUT, PLAIN_CLIPPING),
        (
            AnchorLayout(offset=0.5, is_rounded=True, area="padded"),
            BoxClipping(corners="inclusive", min_side_pixels=1),
        ),
        (AnchorLayout(step="canvas", area="canvas"), PLAIN_CLIPPING),
    ],
)
def test_a_training_step_on_a_gpu_needs_no_value_from_it(layout: AnchorLayout, clipping: BoxClipping) -> None:
    # Fake tensors have shapes and no values: reading one, or making a shape of one, raises.
    with FakeTensorMode():
        detector = make_detector(layout=layout, clipping=clipping)
        images = ImageBatch(
            pixels=torch.zeros(2, 3, 128, 128, dtype=torch.uint8),
            sizes=torch.zeros(2, 2, dtype=torch.int64),
            keys=torch.zeros(2, dtype=torch.int64),
        )
        targets = Targets(
            boxes=torch.zeros(2, 40, 4),
            labels=torch.zeros(2, 40, dtype=torch.int64),
            is_valid=torch.zeros(2, 40, dtype=torch.bool),
        )
        sum(detector(images, targets).values()).backward()
        assert all(parameter.grad is not None for parameter in detector.parameters())
        with pytest.raises(DataDependentOutputException):
            images.keys.sum().item()


def test_more_padding_rows_change_no_loss_of_the_rpn() -> None:
    detector = make_detector()
    images, few = make_images(sizes=[[128, 128], [100, 128]]), make_targets([3, 7], num_rows=8)
    many = Targets(
        *(torch.cat((rows, torch.zeros_like(rows)), dim=1) for rows in (few.boxes, few.labels, few.is_valid))
    )
    first, second = detector(images, few), detector(images, many)
    assert torch.equal(first["rpn_box"], second["rpn_box"])
    assert torch.equal(first["rpn_objectness"], second["rpn_objectness"])


def test_losses_under_bfloat16_autocast_are_float32_and_near() -> None:
    detector = make_detector()
    images, targets = make_images(sizes=[[128, 128], [100, 128]]), make_targets([3, 7], num_rows=8)
    exact = detector(images, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = detector(images, targets)
    assert all(rough[name].dtype == torch.float32 for name in LOSSES)
    for name in ("rpn_objectness", "rpn_box"):  # the regions, and so their losses, are not the same ones
        torch.testing.assert_close(rough[name], exact[name], rtol=0.02, atol=0)


def test_pixels_are_normalised_and_the_padding_is_zero_afterwards() -> None:
    images = make_images(sizes=[[2, 3]], canvas=(4, 4))
    pixels = make_detector().normalise(images)
    assert pixels.dtype == torch.float32
    for channel, (mean, std) in enumerate(((10, 2), (20, 4), (30, 5))):
        wanted = (images.pixels[0, channel, :2, :3].float() - mean) / std
        torch.testing.assert_close(pixels[0, channel, :2, :3], wanted)
    assert (pixels[..., 2:, :] == 0).all()
    assert (pixels[..., 3:] == 0).all()


def test_a_backbone_trained_on_bgr_gets_the_same_values_in_that_order() -> None:
    images = make_images(sizes=[[2, 3]], canvas=(4, 4))
    expected = make_detector().normalise(images)
    detector = make_detector()
    detector.pixel_order = "bgr"
    pixels = detector.normalise(images)
    assert torch.equal(pixels[:, 0], expected[:, 2])
    assert torch.equal(pixels[:, 1], expected[:, 1])
    assert torch.equal(pixels[:, 2], expected[:, 0])


@pytest.mark.parametrize(
    ("capability", "num_channels", "is_nchw"),
    [("AVX2", 255, False), ("AVX2", 256, True), ("AVX512", 256, False)],
)
def test_features_lie_channels_last_unless_a_cpu_without_avx512_has_to_go_back_through_wide_ones(
    capability: str, num_channels: int, is_nchw: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    images = make_images(sizes=[[2, 3]], canvas=(4, 4))
    detector = Detector(
        backbone=nn.Conv2d(num_channels, num_channels, 3),
        neck=nn.Identity(),
        head=make_detector().head,
        pixel_mean=(0.0, 0.0, 0.0),
        pixel_std=(1.0, 1.0, 1.0),
    )
    assert detector.normalise(images).is_contiguous() is is_nchw
    with torch.no_grad():
        assert detector.normalise(images).is_contiguous(memory_format=torch.channels_last)


def test_detections_are_the_same_whether_pictures_come_alone_or_together() -> None:
    detector = make_lively_detector()
    images = make_images(sizes=[[128, 128], [70, 90], [128, 40]])
    together = detector.detect(images)
    assert together.boxes.shape == (3, 100, 4)
    for picture in range(3):
        only = slice(picture, picture + 1)
        alone = detector.detect(ImageBatch(images.pixels[only], images.sizes[only], images.keys[only]))
        for one, other in zip(found_in(alone, 0), found_in(together, picture), strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-5)
        assert together.is_valid[picture].sum() > 10


def test_detections_stay_out_of_the_padding() -> None:
    detector = make_lively_detector()
    sizes = [[128, 40], [30, 128], [128, 128]]
    detections = detector.detect(make_images(sizes=sizes))
    for picture, (height, width) in enumerate(sizes):
        boxes, scores, _ = found_in(detections, picture)
        assert len(boxes) > 10
        assert (boxes >= 0).all()
        assert (boxes[:, 2] <= width).all()
        assert (boxes[:, 3] <= height).all()
        assert (scores > 0.05).all()


def test_what_lies_in_the_padding_of_the_pixels_has_no_effect() -> None:
    detector = make_lively_detector()
    clean = make_images(sizes=[[70, 90]])
    dirty = ImageBatch(clean.pixels.clone(), clean.sizes, clean.keys)
    dirty.pixels[:, :, 70:] = 200
    assert torch.equal(detector.detect(clean).boxes, detector.detect(dirty).boxes)


def test_a_detector_for_detection_finds_the_same_and_shares_its_head() -> None:
    detector = make_lively_detector()
    images = make_images(sizes=[[128, 128], [70, 90]])
    plain, prepared = detector.detect(images), detector.for_detection()
    found = prepared.detect(images)
    for picture in range(2):
        for one, other in zip(found_in(found, picture), found_in(plain, picture), strict=True):
            torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-5)
    assert prepared.head is detector.head
    assert not any(isinstance(module, nn.BatchNorm2d) for module in prepared.modules())
    with torch.inference_mode():
        assert torch.equal(detector.for_detection().detect(images).boxes, found.boxes)


def test_detecting_works_in_inference_mode_and_leaves_no_gradient() -> None:
    detector = make_lively_detector()
    images = make_images(sizes=[[70, 90]])
    plain = detector.detect(images)
    with torch.inference_mode():
        inferred = detector.detect(images)
    assert not plain.scores.requires_grad
    assert torch.equal(plain.scores, inferred.scores)


def test_a_picture_that_nothing_is_found_in_has_no_valid_row() -> None:
    detector = make_detector().eval()
    with torch.no_grad():
        two_stage(detector).roi_head.classifier.bias[-1] = 20  # everything is background
    assert not detector.detect(make_images(sizes=[[70, 90]])).is_valid.any()


def test_the_head_s_parts_are_the_detector_s_and_those_of_a_copy_the_copy_s() -> None:
    detector = make_detector()
    copied = copy.deepcopy(detector)
    for one in (detector, copied.double()):
        assert [name for name, _ in one.named_children()] == ["backbone", "neck", "rpn", "roi_head"]
        assert all(one.get_submodule(name) is part for name, part in one.head.parts.items())
    assert two_stage(copied).rpn.conv.weight.dtype == torch.float64
    assert two_stage(detector).rpn.conv.weight.dtype == torch.float32


def test_what_is_selected_from_the_candidates_is_what_is_detected() -> None:
    detector = make_lively_detector()
    images = make_images(sizes=[[128, 128], [70, 90]])
    with torch.no_grad():
        candidates = detector.head.candidates(detector.pyramid(images), images.sizes)
    assert candidates.boxes.shape == (2, 100, NUM_CLASSES, 4)
    assert candidates.scores.shape == (2, 100, NUM_CLASSES)
    selected, found = detector.head.selector.select(candidates, images.sizes), detector.detect(images)
    assert torch.equal(selected.boxes, found.boxes)
    assert torch.equal(selected.scores, found.scores)
    assert found.is_valid.any()


def test_the_head_completes_what_was_selected_with_the_same_pyramid(monkeypatch: pytest.MonkeyPatch) -> None:
    pyramids: list[Pyramid] = []

    def complete(head: TwoStageHead, pyramid: Pyramid, found: Detections) -> Detections:
        pyramids.append(pyramid)
        return replace(found, masks=found.scores[..., None, None])

    detector, images = make_lively_detector(), make_images(sizes=[[128, 128], [70, 90]])
    plain = detector.detect(images)
    assert plain.masks is None
    monkeypatch.setattr(TwoStageHead, "complete", complete)
    found = detector.detect(images)
    assert torch.equal(found.boxes, plain.boxes)
    assert found.masks is not None
    assert torch.equal(found.masks.flatten(1), plain.scores)
    with torch.no_grad():
        assert torch.equal(pyramids[0].levels[0], detector.pyramid(images).levels[0])


@pytest.mark.parametrize("hides_padding", [False, True])
def test_the_pyramid_has_an_area_where_padding_is_hidden(hides_padding: bool) -> None:
    detector = make_detector()
    detector.hides_padding = hides_padding
    pyramid = detector.pyramid(make_images(sizes=[[64, 90]]))
    assert pyramid.strides == STRIDES
    assert [level.shape[-1] for level in pyramid.levels] == [128 // stride for stride in STRIDES]
    assert (pyramid.area is not None) == hides_padding
    # The area ends at 64 rows of pixels, 16 of the finest level.
    assert bool((pyramid.levels[0][:, :, 16:] == 0).all()) == hides_padding


def test_the_checkpoint_holds_parameters_with_readable_names_and_no_constants() -> None:
    names = set(make_detector().state_dict())
    assert {name for name in names if not name.startswith("backbone.")} == {
        f"{layer}.{part}"
        for layer in (
            "rpn.conv",
            "rpn.objectness",
            "rpn.deltas",
            "roi_head.fc1",
            "roi_head.fc2",
            "roi_head.classifier",
            "roi_head.regressor",
        )
        for part in ("weight", "bias")
    }


def test_the_region_head_starts_as_mmdetections_does() -> None:
    head = two_stage(make_detector()).roi_head
    bound = (6 / (72 + 16)) ** 0.5  # Xavier: 8 channels * 3 * 3 cells in, 16 out
    assert 0.95 * bound < head.fc1.weight.abs().max() <= bound
    assert 0.005 < head.classifier.weight.std() < 0.015
    assert 0.0005 < head.regressor.weight.std() < 0.0015
    biases = [parameter for name, parameter in head.named_parameters() if name.endswith("bias")]
    assert len(biases) == 4
    assert not any(bias.any() for bias in biases)
