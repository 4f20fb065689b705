"""How the threads of a computation wait for each other."""

import os


def let_waiting_threads_sleep() -> None:
    """Let threads that wait for the others of a computation sleep; before torch is imported.

    OpenMP's threads spin otherwise, and where other processes want the cores too, one that spins keeps its
    core from the very thread that it waits for. What the environment says of this itself stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
