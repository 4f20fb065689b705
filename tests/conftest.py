"""Settings of all tests."""

import os

# Tests run small shapes, some in several processes: more threads than one would only wait for each other.
# It has to be set before torch is imported, and the processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A process that a test starts and that aborts says where it was.
os.environ.setdefault("PYTHONFAULTHANDLER", "1")
