"""What libraries would say about themselves is not on the screen."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.integration.conftest import run_hrdet

BROKEN_EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\0\0\xff\xff\xff\x7f"
"""One entry, the orientation, whose 65535 values lie behind the end."""


def write_pictures(folder: Path) -> Path:
    """Two pictures that Pillow warns of, and their annotations."""
    folder.mkdir()
    Image.new("RGB", (64, 48)).save(folder / "exif.jpg", exif=BROKEN_EXIF)
    large = folder / "large.png"
    Image.new("1", (12000, 8000)).save(large)  # 96 megapixels; Pillow warns from 89.5
    large.write_bytes(large.read_bytes()[:100])  # before it looks for pixels, which take seconds
    images = [
        {"id": 1, "file_name": "exif.jpg", "width": 48, "height": 64},  # is it turned by EXIF?
        {"id": 2, "file_name": "large.png", "width": 12000, "height": 8000},
    ]
    annotations = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [2, 3, 20, 30], "area": 600, "iscrowd": 0}
        for n in (1, 2)
    ]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cell"}]}
    file = folder.parent / "annotations.json"
    file.write_text(json.dumps(document))
    return file


def read_exif(file: Path) -> None:
    with Image.open(file) as picture:
        picture.getexif()


def test_pillow_does_not_warn_of_its_own_source_files(tmp_path: Path) -> None:
    file = write_pictures(tmp_path / "pictures")
    with pytest.warns(UserWarning, match="Tag data larger|Corrupt EXIF"):  # by itself it does
        read_exif(tmp_path / "pictures" / "exif.jpg")
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(tmp_path / "pictures" / "large.png").close()
    command = ["check-data", str(file), str(tmp_path / "pictures"), "--workers"]
    program = [sys.executable, "-m", "hrdet_cli", *command, "0"]
    of_program = subprocess.run(program, capture_output=True, text=True, check=False)
    for done in (of_program, run_hrdet(*command, "1")):
        assert done.returncode == 3
        assert "is 64x48 but its annotations say 48x64" in done.stdout + done.stderr
        assert "PIL" not in done.stdout + done.stderr
        assert "Warning" not in done.stdout + done.stderr


IMPORT_MATPLOTLIB = """
from hrdet_cli.cli.noise import quieten_libraries
quieten_libraries()
import matplotlib.figure
"""


def test_matplotlib_does_not_tell_where_it_keeps_its_fonts(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {**os.environ, "HOME": str(tmp_path / "file" / "home"), "TMPDIR": str(tmp_path)}
    environment = {key: value for key, value in environment.items() if not key.startswith(("XDG", "MPL"))}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", IMPORT_MATPLOTLIB],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == done.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file"]  # it removed its folder
