"""Memory that runs out in the middle of work, as an error with a remedy."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hrdet_cli.engine.training.rehearsal import is_out_of_memory
from hrdet_cli.errors import MemoryRanOutError
from hrdet_cli.specs.run import EvaluationSpec


@contextmanager
def lack_told(describe: Callable[[], str]) -> Iterator[None]:
    """Inside, whatever torch and Python raise where memory runs out becomes one error.

    Args:
        describe: What did not fit, and what to do.

    Raises:
        MemoryRanOutError: Memory ran out, of a GPU or of the machine.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryRanOutError(describe()) from error


def less_to_look_at(evaluation: EvaluationSpec, *, batch_size: int, fewer: str) -> str:
    """What takes less memory where pictures are looked at: fewer at once where there are several, or smaller.

    Args:
        evaluation: How they are looked at.
        batch_size: Most at once.
        fewer: How to ask for one at a time.
    """
    views = evaluation.test_time_augmentation
    is_of_views = views is not None and views.scales_pixels is not None
    key = "test_time_augmentation.scales_pixels" if is_of_views else "scale_pixels"
    return " or ".join([*([fewer] if batch_size > 1 else []), f"a smaller evaluation.{key}"])
