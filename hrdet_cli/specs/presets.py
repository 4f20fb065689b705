"""The presets that come with hrdet: one experiment a YAML file, named after the file, in folders by kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType

from hrdet_cli.errors import SpecError
from hrdet_cli.wording import shortened

TITLE_BY_FOLDER: Mapping[str, str] = MappingProxyType(
    {
        "start": "To start with",
        "faster": "Recipes of Faster R-CNN",
        "mask": "Recipes of Mask R-CNN",
        "cascade": "Recipes of Cascade R-CNN, with masks and without",
        "htc": "Recipes of Hybrid Task Cascade",
        "lsj": "Recipes with large-scale jitter over long training",
        "dense": "Recipes of RetinaNet and FCOS",
        "proposals": "Recipes of region proposal networks alone",
        "mmdetection": "For weights of mmdetection 2 and 3, with its conventions",
        "year-2019": "For weights of HRNet-Object-Detection (2019) and mmdetection 0 and 1",
        "torchvision": "For weights of torchvision",
        "detectron2": "For weights of detectron2",
    }
)
"""What the presets of a folder are, in the order in which they are listed."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset file."""

    name: str
    path: Path

    @property
    def title(self) -> str:
        """What it is one of."""
        return TITLE_BY_FOLDER[self.path.parent.name]

    def read(self) -> str:
        """The file's text, its header comment included."""
        return self.path.read_text(encoding="utf-8")


def presets_folder() -> Path:
    """Folder with the presets: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    bundled = package / "bundled_presets"
    return bundled if bundled.is_dir() else package.parent / "presets"


def all_presets() -> dict[str, Preset]:
    """Every preset by name, in the order of the names."""
    return dict(_presets_in(presets_folder()))


@cache
def _presets_in(folder: Path) -> Mapping[str, Preset]:
    paths = sorted(folder.rglob("*.yaml"), key=lambda path: path.stem)
    return {path.stem: Preset(path.stem, path) for path in paths}


def by_title(presets: Mapping[str, Preset]) -> dict[str, list[str]]:
    """The names of presets by what they are, in the order of the titles, without titles that have none."""
    grouped: dict[str, list[str]] = {title: [] for title in TITLE_BY_FOLDER.values()}
    for name, preset in presets.items():
        grouped[preset.title].append(name)
    return {title: names for title, names in grouped.items() if names}


def with_words(descriptions: Mapping[str, str], words: Sequence[str]) -> list[str]:
    """The presets whose names, titles or descriptions have all of some words, in any case.

    Args:
        descriptions: What each preset is, by its name.
        words: Parts of words will do.

    Raises:
        SpecError: There is none.
    """
    presets = all_presets()
    texts = {name: f"{name} {presets[name].title} {text}".lower() for name, text in descriptions.items()}
    found = [name for name, text in texts.items() if all(word.lower() in text for word in words)]
    if not found:
        raise SpecError([f"no preset has {' and '.join(words)}; `hrdet presets list` shows all"])
    return found


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
