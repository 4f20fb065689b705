"""Names of pictures from their addresses."""

import pytest

from hrdet_cli.engine.data.coco_urls import picture_name_in


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://images.cocodataset.org/train2017/000000391895.jpg", "train2017/000000391895.jpg"),
        ("https://host/a.jpg?size=1", "a.jpg"),
        ("http://[host/a.jpg", "http://[host/a.jpg"),
        ("", ""),
        (7, 7),
    ],
)
def test_a_name_is_the_last_two_parts_and_what_is_no_address_stays(address: object, name: object) -> None:
    assert picture_name_in(address) == name
