"""Findings on installed packages: versions that fit together, which apex it is, what Pillow reads."""

import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path

import torch
from PIL import features

from hrdet_cli.engine.norm.back_ends import require_back_end
from hrdet_cli.errors import SpecError
from hrdet_cli.runs.doctor.finding import Finding
from hrdet_cli.runs.versions import installed_versions

_FORMATS = {
    "jpg": "JPEG",
    "zlib": "PNG",
    "webp": "WebP",
    "libtiff": "TIFF",
    "jpg_2000": "JPEG 2000",
    "avif": "AVIF",
}
"""Pillow's name of a decoder, and the format it reads."""


def examine_software() -> list[Finding]:
    """System, versions, apex and decoders."""
    return [
        Finding("system", f"{platform.platform()}, host {platform.node()}"),
        *examine_versions(
            installed_versions(),
            requirements=[*_requirements_of("hrdet"), *_requirements_of("torchvision")],
        ),
        examine_apex(),
        examine_decoders(),
    ]


def examine_versions(
    versions: Mapping[str, str | None], *, requirements: Sequence[tuple[str, str]]
) -> list[Finding]:
    """A finding for each package, with what hrdet and torchvision ask of it.

    Args:
        versions: Version by package; None for one that is missing.
        requirements: The package that asks, and what for, such as ``("hrdet", "torch>=2.11")``.
    """
    findings = []
    for package, version in versions.items():
        if version is None:
            command = f"pip install {package}"
            findings.append(Finding(package, "not installed", "problem", f"install it: {command}"))
            continue
        unmet = [
            f"{asker} needs {wanted}"
            for asker, wanted in requirements
            if _package_of(wanted) == package and not _is_met(wanted, version)
        ]
        if unmet:
            remedy = f"{'; '.join(unmet)}: install versions that fit, in one pip install"
            findings.append(Finding(package, version, "problem", remedy))
        elif package == "hrdet":
            findings.append(Finding(package, f"{version} in {Path(__file__).parents[2]}"))
        else:
            findings.append(Finding(package, version))
    return findings


def _requirements_of(package: str) -> list[tuple[str, str]]:
    """What an installed package asks for always; nothing where it is not installed as a package."""
    try:
        wanted = requires(package) or []
    except PackageNotFoundError:
        return []
    return [(package, requirement) for requirement in wanted if ";" not in requirement]


def _package_of(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()


def _is_met(requirement: str, version: str) -> bool:
    """Whether a version is at least, or exactly, what is wanted; other clauses exclude what nobody has."""
    found = _release(version)
    for sign, wanted in re.findall(r"(>=|==) *([\d.]+)", requirement):
        compared = list(zip_longest(found, _release(wanted), fillvalue=0))
        difference = next((ours - theirs for ours, theirs in compared if ours != theirs), 0)
        if difference < 0 or (sign == "==" and difference > 0):
            return False
    return True


def _release(version: str) -> list[int]:
    """The numbers a version begins with: ``2.11.0+cu128`` is ``[2, 11, 0]``."""
    numbers = re.match(r"[\d.]+", version)
    return [int(number) for number in numbers[0].split(".") if number] if numbers else []


def examine_apex() -> Finding:
    """Whether the package called apex, where there is one, has the norm of ``norm.back_end=apex``."""
    if find_spec("apex") is None:
        return Finding("apex", "not installed, and not needed")
    try:
        require_back_end("apex", torch.device("cuda"))
    except SpecError as error:
        reason = str(error).removeprefix("norm.back_end: ")
    except Exception as error:  # another package's code runs: there is no list of what it raises
        reason = f"importing apex fails: {type(error).__name__}: {error}"
    else:
        return Finding("apex", "NVIDIA's, with apex.parallel.SyncBatchNorm")
    return Finding("apex", "cannot be norm.back_end, and is not needed", "note", reason)


def examine_decoders() -> Finding:
    """Which pictures Pillow reads, and whether JPEG goes through libjpeg-turbo."""
    known = {*features.modules, *features.codecs}  # Pillow before 11.3 warns when it is asked for AVIF
    missing = [
        name for feature, name in _FORMATS.items() if feature not in known or not features.check(feature)
    ]
    read = ", ".join(name for name in _FORMATS.values() if name not in missing)
    turbo = features.version("libjpeg_turbo")
    value = f"Pillow reads {read or 'no format that matters'}"
    value += f"; JPEG by libjpeg-turbo {turbo}" if turbo else "; JPEG without libjpeg-turbo"
    remedy = "install a wheel of Pillow: pip install --force-reinstall --only-binary :all: pillow"
    if "JPEG" in missing or "PNG" in missing:
        return Finding("decoders", value, "problem", f"JPEG and PNG are needed; {remedy}")
    if not turbo:
        return Finding("decoders", value, "note", f"JPEG takes longer to decode; {remedy}")
    return Finding("decoders", value)
