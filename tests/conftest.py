"""Settings of all tests."""

import os
from pathlib import Path

import pytest

# Tests run small shapes, some in several processes: more threads than one would only wait for each other.
# It has to be set before torch is imported, and the processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A process that a test starts and that aborts says where it was.
os.environ.setdefault("PYTHONFAULTHANDLER", "1")

TESTS = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests go to the same process when tests run side by side (``--dist loadgroup``).

    Those of a file, because they share fixtures; and all that train over several processes, which would find
    no processor free if others like them ran at the same time.
    """
    for item in items:
        path = item.path.relative_to(TESTS)
        group = "several-processes" if path.parts[0] == "distributed" else str(path)
        item.add_marker(pytest.mark.xdist_group(group))
