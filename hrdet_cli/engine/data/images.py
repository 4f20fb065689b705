"""Opens an image root, whatever it is."""

from pathlib import Path

from hrdet_cli.engine.data.folder_images import FolderImages
from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.zip_images import ZipImages
from hrdet_cli.errors import DataError
from hrdet_cli.file_kinds import why_no_file


def open_images(root: Path) -> ImageSource:
    """Open an image root.

    Args:
        root: A folder, or a ZIP archive.

    Raises:
        DataError: The root is neither, or the archive is damaged or holds what cannot be read.
    """
    if root.is_dir():
        return FolderImages(root)
    reason = why_no_file(root)
    if reason is not None:
        raise DataError(f"image root {root} {reason}. Give a folder of pictures or a .zip archive.")
    return ZipImages(root)
