"""Where published weights come from."""

import re

import pytest

from hrdet_cli.engine.weights.origins import origin_of
from hrdet_cli.engine.weights.published import torchvision_url


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("weights/hrnetv2_w18_imagenet_pretrained.pth", "timm:hrnet_w18"),
        ("hrnetv2_w64_imagenet_pretrained.pth", "timm:hrnet_w64"),
        ("resnet50-0676ba61.pth", "torchvision:resnet50"),
        ("resnet101-63fe2227.pth", "torchvision:resnet101"),
        ("weights/mine.pth", None),
        ("hrnetv2_w19_imagenet_pretrained.pth", None),
    ],
)
def test_a_published_file_has_a_name_that_fetches_the_same(file: str, name: str | None) -> None:
    origin = origin_of(file)
    assert (None if origin is None else origin.name) == name


@pytest.mark.parametrize("file", ["resnet50-0676ba61.pth", "resnet101-63fe2227.pth"])
def test_torchvisions_name_fetches_the_very_file(file: str) -> None:
    origin = origin_of(file)
    assert origin is not None
    assert torchvision_url(origin.name.removeprefix("torchvision:")).endswith(f"/{file}")
    assert origin.page.endswith(f"/{file}")


def test_timms_networks_are_there() -> None:
    timm = pytest.importorskip("timm")
    for width in (18, 30, 32, 40, 44, 48, 64):
        origin = origin_of(f"hrnetv2_w{width}_imagenet_pretrained.pth")
        assert origin is not None
        assert timm.is_model(origin.name.removeprefix("timm:"))


@pytest.mark.parametrize("is_there", [False, True])
def test_the_words_say_how_to_get_them_with_and_without_the_file(
    monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    monkeypatch.setattr("hrdet_cli.engine.weights.origins.find_spec", lambda _: is_there or None)
    file = "weights/hrnetv2_w18_imagenet_pretrained.pth"
    origin = origin_of(file)
    assert origin is not None
    words = re.sub(r": \S+ -m pip install 'timm>=\S+'", ": pip install timm", origin.describe(file))
    needs = "" if is_there else " (needs timm: pip install timm)"
    assert words == (
        f"--weights timm:hrnet_w18 fetches these weights{needs}. Or download it from "
        "https://github.com/HRNet/HRNet-Image-Classification to weights/hrnetv2_w18_imagenet_pretrained.pth."
    )
