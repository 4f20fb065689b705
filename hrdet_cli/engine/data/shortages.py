"""What the system does not give a process: open files, processes and threads, memory for them.

Python, torch and the kernel say so in many ways, in whichever line of code happens to need one more.
"""

import errno
import resource
from collections.abc import Iterator

from hrdet_cli.errors import OutOfMemoryError

_OPEN_FILES = (errno.EMFILE, errno.ENFILE)
_PROCESSES = (errno.EAGAIN,)
_NO_MORE_FILES = ("Too many open files", "items of ancdata")  # the second from a socket that had to drop one
_NO_MORE_THREADS = ("can't start new thread",)


def shortage_of(error: BaseException, *, remedy: str | None = None) -> OutOfMemoryError | None:
    """The error to end with where a process was refused what it needs; None where another thing is wrong.

    Args:
        error: As it was raised, by Python or torch.
        remedy: What else helps than to allow more: ``take fewer data workers``.
    """
    for cause in _causes(error):
        number, text = cause.errno if isinstance(cause, OSError) else None, str(cause)
        if number in _OPEN_FILES or any(words in text for words in _NO_MORE_FILES):
            return lack_of_open_files(remedy)
        if number in _PROCESSES or any(words in text for words in _NO_MORE_THREADS):
            return lack_of_processes(remedy)
        if number == errno.ENOMEM:
            return OutOfMemoryError(
                _with_remedy("there is no memory for one more process: free some", remedy)
            )
    return None


def lack_of_open_files(remedy: str | None = None) -> OutOfMemoryError:
    """The error of a process that may open no more files; see `shortage_of`."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    more = max(4096, 4 * limit)
    what = f"too many open files: a process may have {limit} here. Allow more, as with ulimit -n {more}"
    return OutOfMemoryError(_with_remedy(what, remedy))


def lack_of_processes(remedy: str | None = None) -> OutOfMemoryError:
    """The error of a process that may start no more processes and threads; see `shortage_of`."""
    what = (
        "the system starts no more processes or threads here. Allow more (ulimit -u, or a container's limit "
        "of pids)"
    )
    return OutOfMemoryError(_with_remedy(what, remedy))


def _with_remedy(what: str, remedy: str | None) -> str:
    return what if remedy is None else f"{what}, or {remedy}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
