"""What the process imports that others are forked from (``tests.forked``): as the command does it.

What a run imports late is there too, plots and the launcher of several processes, and pytest, which files of
tests import whose functions are called in such processes.
"""

import gc

from hrdet_cli.cli.noise import quieten_libraries

gc.disable()  # what is imported here is no garbage, and forks that look through it would copy it
quieten_libraries()  # which has to come before torch: hence imports below code, some for their effect alone

import matplotlib.backends.backend_agg  # noqa: E402
import matplotlib.figure  # noqa: E402, F401
import pytest  # noqa: E402, F401
import torch.distributed  # noqa: E402, F401

import hrdet_cli.cli.app  # noqa: E402
import hrdet_cli.engine.distributed.launch  # noqa: E402
import hrdet_cli.runs.build.detector  # noqa: E402
import hrdet_cli.runs.train  # noqa: E402, F401

gc.freeze()
gc.enable()
