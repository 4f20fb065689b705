"""Pictures of several data sets as those of one."""

from collections.abc import Sequence

from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.picture_names import FoundNames


class JoinedImages:
    """Several image sources as one, in which each picture's name begins with the prefix of its source.

    Args:
        sources: Each with its prefix, which no other one begins with.
    """

    def __init__(self, sources: Sequence[tuple[str, ImageSource]]) -> None:
        self._sources = tuple(sources)

    def find(self, names: Sequence[str]) -> FoundNames:
        """See ``ImageSource``."""
        found = [
            (prefix, source.find([name.removeprefix(prefix) for name in names if name.startswith(prefix)]))
            for prefix, source in self._sources
        ]
        return FoundNames(
            missing=[prefix + name for prefix, of_one in found for name in of_one.missing],
            contradictory=[prefix + name for prefix, of_one in found for name in of_one.contradictory],
            file_by_name={
                prefix + name: prefix + file
                for prefix, of_one in found
                for name, file in of_one.file_by_name.items()
            },
        )

    def why_missing(self, name: str) -> str:
        """See ``ImageSource``."""
        source, own_name = self._resolve(name)
        return source.why_missing(own_name)

    def notes(self) -> Sequence[str]:
        """See ``ImageSource``."""
        return [note for _, source in self._sources for note in source.notes()]

    def read(self, name: str) -> bytes:
        """See ``ImageSource``."""
        source, own_name = self._resolve(name)
        return source.read(own_name)

    def _resolve(self, name: str) -> tuple[ImageSource, str]:
        """The source of a picture, and its name there."""
        for prefix, source in self._sources:
            if name.startswith(prefix):
                return source, name.removeprefix(prefix)
        raise ValueError(f"{name} has no prefix of {[prefix for prefix, _ in self._sources]}")
