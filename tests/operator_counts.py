"""How often torch's operators compute something, whoever calls them and by whatever function."""

from collections import Counter
from typing import Any

from hrdet_cli.engine.benchmarking.traffic import CountingMode


class OperatorCounter(CountingMode):  # type: ignore[no-untyped-call]  # torch gives no types
    """Counts while it is entered.

    Attributes:
        times: By operator.
    """

    def __init__(self) -> None:
        super().__init__()
        self.times: Counter[Any] = Counter()

    @property
    def num_operators(self) -> int:
        """Of all."""
        return self.times.total()

    @property
    def num_collectives(self) -> int:
        """Of those that reach torch's process group."""
        return sum(
            count for func, count in self.times.items() if func.namespace in ("c10d", "_c10d_functional")
        )

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.times[func] += 1
        return func(*args, **(kwargs or {}))
