"""Values that no network can work with: NaN, infinity, negative variances."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from hrdet_cli.wording import first_and_count

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class ImpossibleValues:
    """What is impossible in a tensor.

    Attributes:
        key: The tensor.
        num_nan: Values that are NaN.
        num_infinite: Values that are infinite.
        num_negative: Variances below zero.
        num_values: Values of the tensor.
    """

    key: str
    num_nan: int
    num_infinite: int
    num_negative: int
    num_values: int

    def __str__(self) -> str:
        kinds = ((self.num_nan, "NaN"), (self.num_infinite, "infinite"), (self.num_negative, "negative"))
        counts = " and ".join(f"{count:,} {kind}" for count, kind in kinds if count)
        return f"{self.key} ({counts} of {self.num_values:,})"


def find_impossible_values(tensors: Mapping[str, Tensor]) -> Iterator[ImpossibleValues]:
    """The tensors of a state dict that hold impossible values, in its order."""
    for key, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        is_variance = key.endswith(".running_var")
        if bool(tensor.isfinite().all()) and not (is_variance and bool((tensor < 0).any())):
            continue
        yield ImpossibleValues(
            key=key,
            num_nan=int(tensor.isnan().sum()),
            num_infinite=int(tensor.isinf().sum()),
            num_negative=int((tensor < 0).sum()) if is_variance else 0,
            num_values=tensor.numel(),
        )


def describe_impossible_values(tensors: Mapping[str, Tensor]) -> str | None:
    """The impossible values of a state dict in a sentence; None where there are none."""
    found = list(find_impossible_values(tensors))
    if not found:
        return None
    hold = "1 tensor holds" if len(found) == 1 else f"{len(found)} tensors hold"
    return f"{hold} NaN, infinity or a negative variance: {first_and_count(found, _MOST_NAMED)}"
