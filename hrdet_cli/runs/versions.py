"""Versions of the packages whose behaviour a run depends on. Does not import them."""

import platform
from importlib.metadata import PackageNotFoundError, version

from hrdet_cli.version import __version__

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "pycocotools", "pydantic")


def installed_versions() -> dict[str, str | None]:
    """Version by name of hrdet, Python and the packages; None for one that is not installed."""
    packages: dict[str, str | None] = {"hrdet": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            packages[package] = None
    return packages
