"""Memory that runs out in the middle of work, as an error with a remedy."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hrdet_cli.engine.training.rehearsal import is_out_of_memory
from hrdet_cli.errors import OutOfMemoryError


@contextmanager
def lack_told(
    describe: Callable[[], str], *, kind: type[OutOfMemoryError] = OutOfMemoryError
) -> Iterator[None]:
    """Inside, whatever torch and Python raise where memory runs out becomes one error.

    Args:
        describe: What did not fit, and what to do.
        kind: Of the error.

    Raises:
        OutOfMemoryError: Memory ran out, of a GPU or of the machine.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise kind(describe()) from error
