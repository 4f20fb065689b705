"""What the best checkpoint of a run is chosen by, and what that is called."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

BestBy = Literal["box", "mask", "recall", "loss"]
"""What the best checkpoint is chosen by: average precision of boxes or masks, average recall of proposals, or
the validation loss."""
NAME_OF_NUMBER: Mapping[BestBy, str] = MappingProxyType(
    {"box": "box AP", "mask": "mask AP", "recall": "AR1000", "loss": "validation loss"}
)
"""What the number is called that decides."""
