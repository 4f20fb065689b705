"""What libraries would tell the user of hrdet about themselves."""

import logging
import os
import warnings


def quieten_libraries() -> None:
    """Keep lines about the insides of libraries off the screen; before they are imported.

    * torch's native half warns of host names without an IPv6 address and of connections that other processes
      close, with a stack of its functions.  What it calls an error is still printed.
    * Pillow warns of large pictures and broken EXIF blocks, by paths of its source files.  hrdet has its own
      limit and its own reading of EXIF, and ``check-data`` names what it finds.
    * matplotlib tells at length where it keeps its list of fonts if not in the home folder.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
