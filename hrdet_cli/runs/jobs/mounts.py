"""What a job finds where: storage that is put at folders of a container."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from hrdet_cli.errors import SpecError

TO_FILL = "FILL-IN"
"""Stands in a file where only its user knows what belongs there."""


@dataclass(frozen=True, slots=True)
class Mount:
    """Storage at a folder of the container.

    Attributes:
        source: What the scheduler knows it by: a claim, a bucket, a datastore's path.
        path: The folder, absolute.
    """

    source: str
    path: PurePosixPath

    @classmethod
    def parse(cls, text: str) -> "Mount":
        """Of ``SOURCE:PATH``; the source may have colons of its own.

        Raises:
            SpecError: It is something else.
        """
        source, _, path = text.rpartition(":")
        if not source or not path.startswith("/") or path.startswith("//"):
            raise SpecError([f"--mount {text}: is to be SOURCE:PATH, such as claim:/data, with a whole path"])
        return cls(source, PurePosixPath(path))

    def holds(self, path: str) -> bool:
        """Whether a path lies in it."""
        return PurePosixPath(path).is_relative_to(self.path)


def complete_mounts(mounts: Sequence[Mount], *, run_dir: str, data: Iterable[str]) -> tuple[Mount, ...]:
    """The mounts with one to fill in for each folder that a run needs and that none of them holds.

    Args:
        mounts: As given.
        run_dir: The run folder, which has to outlive the container.
        data: Files and folders that are read.
    """
    completed = list(mounts)
    for path in (run_dir, *data):
        if not any(mount.holds(path) for mount in completed):
            completed.append(Mount(TO_FILL, PurePosixPath(path).parent))
    return tuple(completed)


def refuse_relative(words: Iterable[tuple[str, str]]) -> None:
    """In a container nobody knows what a path is relative to.

    Args:
        words: Options and the paths that were given for them.

    Raises:
        SpecError: With every path that is not absolute.
    """
    problems = [
        f"{option} {path}: give the whole path that it has in the container, such as /data/{path}"
        for option, path in words
        if not path.startswith("/")
    ]
    if problems:
        raise SpecError(problems)
