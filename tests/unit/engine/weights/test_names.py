import pytest

from hrdet_cli.engine.weights.names import is_weights_name


@pytest.mark.parametrize(
    ("source", "is_name"),
    [
        ("timm:hrnet_w18", True),
        ("torchvision:resnet50", True),
        ("https://example.org/weights.pth", True),
        ("http://example.org/weights.pth", True),
        ("weights/timm.pth", False),
        ("C:/weights.pth", False),
        ("file:///weights.pth", False),
    ],
)
def test_names_and_addresses_are_told_from_paths(source: str, is_name: bool) -> None:
    assert is_weights_name(source) == is_name
