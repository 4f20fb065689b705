import pytest

from hrdet_cli.engine.weights.names import describe_unknown_scheme, is_weights_name


@pytest.mark.parametrize(
    ("source", "is_name"),
    [
        ("timm:hrnet_w18", True),
        ("torchvision:resnet50", True),
        ("mmdet:htc_hrnetv2p_w18_20e_coco", True),
        ("imagenet:hrnetv2_w18", True),
        ("hf:me/cells", True),
        ("https://example.org/weights.pth", True),
        ("http://example.org/weights.pth", True),
        ("weights/timm.pth", False),
        ("C:/weights.pth", False),
        ("file:///weights.pth", False),
    ],
)
def test_names_and_addresses_are_told_from_paths(source: str, is_name: bool) -> None:
    assert is_weights_name(source) == is_name


@pytest.mark.parametrize(
    "source", ["timm:hrnet_w18", "https://example.org/w.pth", "C:/w.pth", "a/b:c.pth", "w.pth"]
)
def test_nothing_is_said_of_paths_and_of_names_that_are_known(source: str) -> None:
    assert describe_unknown_scheme(source) is None


@pytest.mark.parametrize("scheme", ["ftp:", "nope:", "s3:"])
def test_a_name_of_an_unknown_kind_is_told_with_those_that_are_known(scheme: str) -> None:
    assert describe_unknown_scheme(f"{scheme}//weights.pth") == (
        f"nothing is fetched by {scheme}; give a file, a name that `hrdet weights list` shows, timm:NAME, "
        "hf:OWNER/NAME, or an address that starts with https:// or http://"
    )
