"""Where fetched files lie, and what a user has said of fetching. Does not import torch."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from hrdet_cli.activity import doing
from hrdet_cli.engine.weights.names import URL_STARTS
from hrdet_cli.engine.weights.published.entry import file_name, sha256_start
from hrdet_cli.errors import WeightsError

OFFLINE, MIRROR = "HRDET_OFFLINE", "HRDET_WEIGHTS_MIRROR"
"""Environment variables."""


@dataclass(frozen=True, slots=True)
class CachedFile:
    """A file's place in the cache.

    Attributes:
        path: Where it is, or would be.
        sha256_start: What its SHA-256 starts with, where its name says so.
    """

    path: Path
    sha256_start: str | None

    @classmethod
    def of(cls, address: str) -> "CachedFile":
        """The place of what is at an address.

        Names that carry the start of a SHA-256 are the files' own; others, such as ``model.pth``, are not
        unique and get the start of a hash of the address in front.

        Raises:
            WeightsError: The address names no file.
        """
        name = file_name(address)
        if not name:
            raise WeightsError(f"{address}: names no file; give the address of a weights file.")
        digest = sha256_start(name)
        if digest is None:
            name = f"{hashlib.sha256(address.encode()).hexdigest()[:12]}-{name}"
        return cls(cache_folder() / name, digest)

    def why_not(self, path: Path) -> str | None:
        """Why the content of a file is not what its name says; None where it is, or the name says nothing."""
        if self.sha256_start is None:
            return None
        with path.open("rb") as file, doing(f"comparing {path.name} with its SHA-256"):
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found.startswith(self.sha256_start):
            return None
        return f"its SHA-256 starts with {found[:8]}, not with {self.sha256_start[:8]}"


def cache_folder() -> Path:
    """The folder of torch.hub's files, so that what other programs fetched is found.

    It is ``hub/checkpoints`` in ``TORCH_HOME``, by default ``torch`` in ``XDG_CACHE_HOME``, by default
    ``~/.cache``.
    """
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = Path(os.environ.get("TORCH_HOME", str(Path(caches, "torch"))))
    return home.expanduser() / "hub" / "checkpoints"


def is_offline() -> bool:
    """Whether the user wants nothing fetched."""
    return os.environ.get(OFFLINE, "").lower() not in ("", "0", "false", "no", "off")


def mirror_address(file: CachedFile) -> str | None:
    """Where a file is at the user's own mirror, which has files by their names in the cache; None without.

    Raises:
        WeightsError: What was said is no address.
    """
    prefix = os.environ.get(MIRROR, "")
    if not prefix:
        return None
    if not prefix.startswith(URL_STARTS):
        raise WeightsError(
            f"{MIRROR}={prefix}: is no address; it starts with {' or '.join(URL_STARTS)}. For a folder "
            "that several machines share, set TORCH_HOME."
        )
    return f"{prefix.rstrip('/')}/{file.path.name}"
