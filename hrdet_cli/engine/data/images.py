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
    refuse_missing_root(root)
    return FolderImages(root) if root.is_dir() else ZipImages(root)


def refuse_missing_root(root: Path) -> None:
    """An image root must be a folder, or a file.

    Raises:
        DataError: It is neither.
    """
    reason = None if root.is_dir() else why_no_file(root)
    if reason is not None:
        raise DataError(f"image root {root} {reason}. Give a folder of pictures or a .zip archive.")
