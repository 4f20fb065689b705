"""Weights that a training starts from, before they are read. Does not import torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hrdet_cli.engine.weights.names import is_weights_name
from hrdet_cli.engine.weights.presence import refuse_absent_weights
from hrdet_cli.errors import WeightsError
from hrdet_cli.runs.run_folder import weights_of


def refuse_missing_weights(weights: str | None, *, may_come: bool = False) -> None:
    """Weights that a spec names must be there, unless their name says where they are fetched from.

    Args:
        weights: As ``model.weights``, or a run folder without a checkpoint.
        may_come: Whether a file may still come; a folder must have its checkpoint all the same.

    Raises:
        WeightsError: They are not.
    """
    if weights is None or is_weights_name(weights):
        return
    with random_weights_advised():
        weights_of(weights)
        if not may_come:
            refuse_absent_weights(weights, Path(weights))


@contextmanager
def random_weights_advised() -> Iterator[None]:
    """Errors of the weights to start from end with how to do without any."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{error}\nTo train from random weights: --from-scratch") from error
