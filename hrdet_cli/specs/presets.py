"""The presets that come with hrdet: one experiment a YAML file, named after the file."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import hrdet_cli
from hrdet_cli.errors import SpecError
from hrdet_cli.wording import shortened


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset file."""

    name: str
    path: Path

    def read(self) -> str:
        """The file's text, its header comment included."""
        return self.path.read_text(encoding="utf-8")


def presets_folder() -> Path:
    """Folder with the presets: inside an installed package, or beside it in a checkout."""
    package = Path(hrdet_cli.__file__).parent
    bundled = package / "bundled_presets"
    return bundled if bundled.is_dir() else package.parent / "presets"


def all_presets() -> dict[str, Preset]:
    """Every preset by name, in the order of the names."""
    paths = sorted(presets_folder().rglob("*.yaml"), key=lambda path: path.stem)
    return {path.stem: Preset(path.stem, path) for path in paths}


def find_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        SpecError: There is none; the message offers the nearest names.
    """
    presets = all_presets()
    if name in presets:
        return presets[name]
    if name.endswith((".yaml", ".yml")) or "/" in name:
        raise SpecError([f"there is no preset '{shortened(name)}'; a file is given with --spec FILE"])
    near = get_close_matches(name, presets, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "see `hrdet presets list`"
    raise SpecError([f"there is no preset '{shortened(name)}'; {hint}"])
