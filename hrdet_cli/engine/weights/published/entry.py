"""A row of the table of published weights."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

BACKBONE = "backbone"
_DATE = r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_NO_DIGEST = rf"{_DATE}\d*|00\d+"
_ANYBODY_S = ("pytorch_model.bin", "model.safetensors")
"""Names that every repository at the Hugging Face hub has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedWeights:
    """Weights that somebody published.

    Attributes:
        publisher: Whose they are.
        network: ``Faster R-CNN`` and so on, or `BACKBONE`: trained on ImageNet.
        backbone: ``HRNetV2-W18``, ``ResNet-50 FPN`` and so on.
        schedule: How long they were trained, ``1x`` (12 epochs) and so on, and other remarks.
        figures: What the publisher measured, in percent: ``box AP`` and ``mask AP`` on COCO's val2017, or
            ``top-1 error`` on ImageNet.
        page: Where the publisher lists them.
        name: What to give in place of a file: hrdet fetches them. None of those that want a browser.
        addresses: Where they are, in the order in which they are tried. Files of other names are the same
            weights, written by somebody else.
        by_hand: Where a browser finds them: OneDrive and the like, which ask who is there.
        file: The file's name where it cannot be told from an address.
        preset: What the weights load with; None where hrdet has no reader for them.
    """

    publisher: str
    network: str
    backbone: str
    schedule: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    page: str
    name: str | None = None
    addresses: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()
    file: str | None = None
    preset: str | None = None

    @property
    def is_detector(self) -> bool:
        """Whether it is more than a backbone."""
        return self.network != BACKBONE

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that hold them; none where nobody says."""
        named = [name for address in self.addresses if (name := file_name(address)) not in _ANYBODY_S]
        return tuple(dict.fromkeys([*named, *([self.file] if self.file else [])]))

    @property
    def sha256_starts(self) -> Mapping[str, str]:
        """What each file's SHA-256 starts with, by the file's name, where that is known."""
        return {name: digest for name in self.files if (digest := sha256_start(name)) is not None}

    @property
    def title(self) -> str:
        """What they are, in a few words."""
        return " ".join(word for word in (self.network, self.backbone, self.schedule) if word)

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            **asdict(self),
            "figures": dict(self.figures),
            "files": list(self.files),
            "sha256_starts": dict(self.sha256_starts),
        }


def file_name(address: str) -> str:
    """The name of the file at an address; empty where it names none."""
    return unquote(urlsplit(address).path).rpartition("/")[2]


def sha256_start(name: str) -> str | None:
    """The start of a SHA-256 at the end of a file's name: ``resnet50-0676ba61.pth``.

    A date is none, with a time behind it or without, nor is a number of steps that zeros fill up. torch's hub
    checks it in this way (``torch.hub.load_state_dict_from_url``), and mmdetection's
    ``tools/model_converters/publish_model.py`` writes it so. None where there is none.
    """
    found = re.search(r"-([0-9a-f]{8,64})\.[a-z]+\Z", name)
    return found[1] if found and not re.fullmatch(_NO_DIGEST, found[1]) else None
