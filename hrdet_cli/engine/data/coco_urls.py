"""Names of pictures that annotations give by their address alone, as LVIS 1 does."""

from typing import Any
from urllib.parse import urlsplit


def picture_name_in(address: Any) -> Any:
    """The name of a picture from its address: the last two parts of it, ``train2017/000000391895.jpg``.

    LVIS's parts mix pictures of both of COCO's folders. What is no address comes back as it is.
    """
    try:
        parts = urlsplit(address).path.split("/") if isinstance(address, str) else []
    except ValueError:  # http://[
        parts = []
    return "/".join(part for part in parts[-2:] if part) or address


def name_pictures(images: Any) -> None:
    """Give entries of a document that have no ``file_name`` the one of their ``coco_url``.

    Args:
        images: The list, whatever it holds.
    """
    for item in images if isinstance(images, list) else ():
        if isinstance(item, dict) and "file_name" not in item and "coco_url" in item:
            item["file_name"] = picture_name_in(item["coco_url"])
