"""What users install holds what a checkout holds."""

import subprocess
import sys
import zipfile
from pathlib import Path

from hrdet_cli.specs.presets import all_presets, presets_folder

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_every_preset_the_templates_and_the_type_marker(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    presets = {preset.path.relative_to(presets_folder()) for preset in all_presets().values()}
    assert {f"hrdet_cli/bundled_presets/{path}" for path in presets} <= names
    assert "hrdet_cli/py.typed" in names
    templates = (ROOT / "hrdet_cli/runs/jobs/templates").iterdir()
    assert {f"hrdet_cli/runs/jobs/templates/{template.name}" for template in templates} <= names
    assert not any(name.startswith("tests") for name in names)
