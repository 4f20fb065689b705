"""Versions against what packages ask for, the packages called apex, and Pillow's decoders."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from PIL import features

from hrdet_cli.runs.doctor.finding import Finding
from hrdet_cli.runs.doctor.software import examine_apex, examine_decoders, examine_software, examine_versions


def status_of(version: str, requirement: str) -> str:
    (finding,) = examine_versions({"torch": version}, requirements=[("hrdet", f"torch{requirement}")])
    return finding.status


@pytest.mark.parametrize("requirement", [">=2.11", ">=2.11.0", "==2.11.0", ">=2.9", ">=3", "==2.11"])
@pytest.mark.parametrize("version", ["2.9.1", "2.11.0", "2.11.0+cu128", "2.11.1", "2.12", "3.0.0"])
def test_a_version_fits_exactly_where_the_packaging_rules_say_so(version: str, requirement: str) -> None:
    fits = SpecifierSet(requirement).contains(Version(version))
    assert status_of(version, requirement) == ("ok" if fits else "problem")


def test_a_version_that_does_not_fit_says_who_asks_for_which() -> None:
    asked = [("hrdet", "torch>=2.11"), ("torchvision", "torch (==2.15.0)"), ("hrdet", "torchvision>=0.26")]
    torch, torchvision = examine_versions({"torch": "2.10.0", "torchvision": "0.30.0"}, requirements=asked)
    assert torch.status == "problem"
    assert torch.remedy == (
        "hrdet needs torch>=2.11; torchvision needs torch (==2.15.0): "
        "install versions that fit, in one pip install"
    )
    assert torchvision == Finding("torchvision", "0.30.0")


def test_a_missing_package_is_a_problem_with_the_command_that_installs_it() -> None:
    (finding,) = examine_versions({"pycocotools": None}, requirements=[])
    assert finding == Finding(
        "pycocotools", "not installed", "problem", "install it: pip install pycocotools"
    )


def test_the_packages_that_these_tests_run_on_fit_together() -> None:
    findings = {finding.name: finding for finding in examine_software()}
    for package in ("hrdet", "python", "torch", "torchvision", "numpy", "pillow", "pycocotools", "pydantic"):
        assert findings[package].status == "ok", findings[package]


def test_decoders_that_are_missing_are_a_problem_only_where_pictures_need_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = {"avif"}
    monkeypatch.setattr(features, "check", lambda feature: feature not in missing)
    monkeypatch.setattr(features, "version", lambda _feature: "3.1")
    finding = examine_decoders()
    assert finding.status == "ok"
    assert finding.value == "Pillow reads JPEG, PNG, WebP, TIFF, JPEG 2000; JPEG by libjpeg-turbo 3.1"
    missing.add("jpg")
    assert examine_decoders().status == "problem"


def test_a_pillow_without_libjpeg_turbo_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda _feature: True)
    monkeypatch.setattr(features, "version", lambda _feature: None)
    finding = examine_decoders()
    assert finding.status == "note"
    assert "JPEG without libjpeg-turbo" in finding.value
    assert "--only-binary :all: pillow" in str(finding.remedy)


def install(root: Path, files: dict[str, str]) -> None:
    """Put a package called apex where Python looks first."""
    for name, text in files.items():
        file = root / "apex" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "apex"]:
        del sys.modules[name]


def test_no_apex_is_fine() -> None:
    assert examine_apex() == Finding("apex", "not installed, and not needed")


def test_nvidia_s_apex_is_known_by_its_norm(packages: Path) -> None:
    norm = "class SyncBatchNorm:\n    pass\n"
    install(packages, {"__init__.py": "", "normalization/__init__.py": "", "parallel/__init__.py": norm})
    assert examine_apex() == Finding("apex", "NVIDIA's, with apex.parallel.SyncBatchNorm")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"__init__.py": "", "normalization/__init__.py": ""}, "removed from it in May 2025"),
        ({"__init__.py": "", "lib/__init__.py": ""}, "another package of that name, a toolkit for the web"),
        ({"__init__.py": "import no_such_web_framework"}, "another package of that name"),
        ({"__init__.py": "raise OSError('no database')"}, "importing apex fails: OSError: no database"),
    ],
    ids=["NVIDIA's without parallel", "web toolkit", "web toolkit without its needs", "whatever else"],
)
def test_an_apex_without_the_norm_is_a_note_that_says_which_it_is(
    packages: Path, files: dict[str, str], reason: str
) -> None:
    install(packages, files)
    finding = examine_apex()
    assert finding.status == "note"
    assert reason in str(finding.remedy)
