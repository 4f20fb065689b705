"""Sizes in pixels, without torch: what must be known before a network is built needs no more than this."""

from dataclasses import dataclass

CANVAS_DIVISOR_PIXELS = 32
"""Edges of a canvas are multiples of it: the backbone's coarsest stride."""


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """Height and width in pixels, so that nobody has to remember the order of a tuple."""

    height: int
    width: int

    @property
    def is_portrait(self) -> bool:
        """True when the picture is taller than wide; a square counts as landscape."""
        return self.height > self.width

    @property
    def num_pixels(self) -> int:
        """Area in pixels."""
        return self.height * self.width

    def contains(self, other: "Size") -> bool:
        """Whether a picture of size ``other`` fits inside this one without turning it."""
        return other.height <= self.height and other.width <= self.width

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a picture, in whole pixels of it, such as a tile.

    Attributes:
        left: Its first column.
        top: Its first row.
        size: Its own.
        whole: That of the picture.
    """

    left: int
    top: int
    size: Size
    whole: Size

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its picture."""
        return self.size == self.whole

    @property
    def right(self) -> int:
        """The column behind its last one."""
        return self.left + self.size.width

    @property
    def bottom(self) -> int:
        """The row behind its last one."""
        return self.top + self.size.height


@dataclass(frozen=True, slots=True)
class Scale:
    """Longest long edge and longest short edge, in pixels, of a picture that may lie either way.

    Attributes:
        long: Bound of the longer edge.
        short: Bound of the shorter edge; not more than ``long``.
    """

    long: int
    short: int

    def __post_init__(self) -> None:
        if not 1 <= self.short <= self.long:
            raise ValueError(
                f"a scale is (long, short) with 1 <= short <= long, not ({self.long}, {self.short})"
            )

    def turned(self, *, portrait: bool) -> Size:
        """The bounds as a size: tall for portrait pictures, wide for the others."""
        return Size(self.long, self.short) if portrait else Size(self.short, self.long)

    def __str__(self) -> str:
        return f"({self.long}, {self.short})"
