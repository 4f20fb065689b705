"""The table of published weights agrees with presets, torchvision, timm and the documentation."""

import re
from pathlib import Path

import pytest
from torchvision.models import get_weight

from hrdet_cli.engine.weights.published import mmdetection
from hrdet_cli.engine.weights.published.entry import PublishedWeights, sha256_start
from hrdet_cli.engine.weights.published.table import (
    PUBLISHED,
    find_published,
    how_to_get,
    published_as,
    same_files,
    with_words,
)
from hrdet_cli.errors import WeightsError
from hrdet_cli.runs.conventions.presets import contents_of_model
from hrdet_cli.specs.loading import load_spec

DOCUMENT = (Path(__file__).parents[5] / "docs" / "weights.md").read_text(encoding="utf-8")
NAMED = [weights for weights in PUBLISHED if weights.name is not None]


def test_names_and_addresses_are_of_one_entry_each() -> None:
    names = [weights.name for weights in NAMED]
    addresses = [address for weights in PUBLISHED for address in (*weights.addresses, *weights.by_hand)]
    assert len(set(names)) == len(names)
    assert len(set(addresses)) == len(addresses)
    assert all(address.startswith("https://") for address in addresses)


def test_what_has_a_name_has_addresses_and_the_rest_none() -> None:
    for weights in PUBLISHED:
        assert bool(weights.addresses) == (weights.name is not None)


def test_all_28_of_mmdetection_have_addresses_that_carry_their_checksum() -> None:
    later = [weights for weights in mmdetection.DETECTORS if "first of" not in weights.schedule]
    assert len(later) == 28
    for weights in later:
        assert weights.name is not None
        name = weights.name.removeprefix("mmdet:")
        pattern = (
            rf"https://\S+/mmdetection/v2\.0/hrnet/{name}/{name}_20\d{{6}}(_\d{{6}})?-([0-9a-f]{{8}})\.pth"
        )
        assert len({re.fullmatch(pattern, address)[2] for address in weights.addresses}) == 1  # type: ignore[index]
        assert weights.addresses[0].startswith("https://download.openmmlab.com/")


@pytest.mark.parametrize(
    "weights", [row for row in PUBLISHED if row.preset], ids=lambda row: row.name or row.title
)
def test_what_weights_load_with_is_that_network_on_that_backbone(weights: PublishedWeights) -> None:
    contents = contents_of_model(load_spec(preset=weights.preset).spec.model)
    assert str(contents.backbone) == weights.backbone.removesuffix(" FPN")
    if weights.is_detector:
        assert str(contents).partition(" with ")[0] == weights.network
        assert ("mask AP" in weights.figures) == contents.has_masks


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("resnet50", "ResNet50_Weights.IMAGENET1K_V1"),
        ("resnet101", "ResNet101_Weights.IMAGENET1K_V1"),
        ("fasterrcnn_resnet50_fpn", "FasterRCNN_ResNet50_FPN_Weights.COCO_V1"),
        ("fasterrcnn_resnet50_fpn_v2", "FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1"),
        ("maskrcnn_resnet50_fpn", "MaskRCNN_ResNet50_FPN_Weights.COCO_V1"),
        ("maskrcnn_resnet50_fpn_v2", "MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1"),
        ("retinanet_resnet50_fpn", "RetinaNet_ResNet50_FPN_Weights.COCO_V1"),
        ("retinanet_resnet50_fpn_v2", "RetinaNet_ResNet50_FPN_V2_Weights.COCO_V1"),
        ("fcos_resnet50_fpn", "FCOS_ResNet50_FPN_Weights.COCO_V1"),
    ],
)
def test_torchvision_s_names_lead_to_torchvision_s_files_and_figures(name: str, identifier: str) -> None:
    ours, theirs = find_published(f"torchvision:{name}"), get_weight(identifier)
    assert ours.addresses == (theirs.url,)
    (figures,) = theirs.meta["_metrics"].values()
    if ours.is_detector:
        expected = {key: figures[key] for key in ("box_map", "mask_map") if key in figures}
        assert list(ours.figures.values()) == list(expected.values())
    else:
        assert ours.figures["top-1 error"] == pytest.approx(100 - figures["acc@1"])


def test_timm_has_the_backbones_whose_files_at_the_hub_are_named_after_it() -> None:
    import timm

    names = [re.search(r"/timm/(hrnet_\S+?)/", address) for row in NAMED for address in row.addresses]
    found = [name[1] for name in names if name]
    assert len(found) == 9
    assert all(timm.is_model(name) and timm.is_model_pretrained(name) for name in found)


@pytest.mark.parametrize("width", ["w18", "w48"])
def test_timm_s_distilled_backbones_see_the_pixels_that_the_presets_feed_them(width: str) -> None:
    import timm

    weights = find_published(f"imagenet:hrnetv2_{width}_ssld")
    theirs = timm.get_pretrained_cfg(f"hrnet_{width}_ssld.paddle_in1k")
    assert theirs is not None
    assert weights.addresses[1] == f"https://huggingface.co/{theirs.hf_hub_id}/resolve/main/pytorch_model.bin"
    model = load_spec(preset=weights.preset).spec.model
    assert [255 * mean for mean in theirs.mean] == pytest.approx(list(model.pixel_mean))
    assert [255 * std for std in theirs.std] == pytest.approx(list(model.pixel_std))
    assert model.pixel_order == "rgb"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("weights/hrnetv2_w18_imagenet_pretrained.pth", "imagenet:hrnetv2_w18"),
        ("hrnetv2_w64_imagenet_pretrained.pth", "imagenet:hrnetv2_w64"),
        ("hrnetv2_w32-dc9eeb4f.pth", "imagenet:hrnetv2_w32"),
        ("resnet50-0676ba61.pth", "torchvision:resnet50"),
        ("resnet101_msra-6cc46731.pth", "mmdet:resnet101_msra"),
        ("htc_hrnetv2p_w18_20e_coco.pth", "mmdet:htc_hrnetv2p_w18_20e_coco"),
        ("w/htc_hrnetv2p_w18_20e_coco_20200210-b266988c.pth", "mmdet:htc_hrnetv2p_w18_20e_coco"),
        ("htc_hrnetv2p_w18_20e_coco_20200210-00000000.pth", None),
        ("weights/mine.pth", None),
        ("pytorch_model.bin", None),
        ("hrnetv2_w19_imagenet_pretrained.pth", None),
    ],
)
def test_a_published_file_has_a_name_that_fetches_the_same(file: str, name: str | None) -> None:
    weights = published_as(file)
    assert (None if weights is None else weights.name) == name


def test_the_words_say_how_to_get_them_by_name_or_with_a_browser() -> None:
    told = {file: how_to_get(weights, file) for file in FILES if (weights := published_as(file)) is not None}
    assert told == FILES


FILES = {
    "w/hrnetv2_w18_imagenet_pretrained.pth": "--weights imagenet:hrnetv2_w18 fetches these weights. Or "
    "download them to w/hrnetv2_w18_imagenet_pretrained.pth from https://github.com/HRNet/HRNet-Image-Classification.",
    "resnet50-0676ba61.pth": "--weights torchvision:resnet50 fetches these weights. Or download them to "
    "resnet50-0676ba61.pth from https://download.pytorch.org/models/resnet50-0676ba61.pth.",
    "FasterR-CNN-HR18-1x.pth": "Download it with a browser to FasterR-CNN-HR18-1x.pth, from "
    "https://1drv.ms/u/s!AiWjZ1LamlxzaTqcKb9QJrIZS7Y.",
}


def test_a_published_file_s_address_has_the_others_behind_it() -> None:
    file = "resnet50_msra-5891d200.pth"
    assert same_files(f"https://download.openmmlab.com/pretrain/third_party/{file}") == (
        f"https://open-mmlab.s3.ap-northeast-2.amazonaws.com/pretrain/third_party/{file}",
    )
    assert same_files("https://example.org/model.pth") == ()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mmdet:htc_hrnetv2p_w18_20e",
            "did you mean mmdet:htc_hrnetv2p_w18_20e_coco or .*`hrdet weights list` shows all",
        ),
        ("torchvision:vit_b_16", "no such weights are known; .*`hrdet weights list` shows all"),
    ],
)
def test_other_names_are_refused_with_those_that_are_near(name: str, message: str) -> None:
    with pytest.raises(WeightsError, match=rf"^{name}: .*{message}$"):
        find_published(name)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("resnet50-0676ba61.pth", "0676ba61"),
        ("faster_rcnn_hrnetv2_w40_fpn_1x_20190522-30502318.pth", "30502318"),  # no month has the number 23
        ("model-20200130.pth", None),
        ("model.pth", None),
        ("model-0676.pth", None),
        ("run-20261130120000.pth", None),
        ("model-00090000.pth", None),
    ],
)
def test_the_start_of_a_checksum_is_told_from_a_date(name: str, start: str | None) -> None:
    assert sha256_start(name) == start


def test_words_choose_weights() -> None:
    assert [row.name for row in with_words(["HTC", "w32", "mmdet3"])] == ["mmdet:htc_hrnetv2p_w32_20e_coco"]
    with pytest.raises(WeightsError, match=r"^no published weights have htc and w19; `hrdet weights list`"):
        with_words(["htc", "w19"])


def test_the_documentation_has_what_the_table_has() -> None:
    rows = set(re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| `([^`]+)` \|", DOCUMENT, re.MULTILINE))
    assert rows == {documented(weights) for weights in NAMED if weights.preset}


def documented(weights: PublishedWeights) -> tuple[str, str, str, str]:
    """The columns of a table in docs/weights.md."""
    starts = ", ".join(weights.sha256_starts.values()) or "not known"
    figures = " / ".join(f"{value:.1f}" for value in weights.figures.values()) or "-"
    return str(weights.name), starts, figures, str(weights.preset)
