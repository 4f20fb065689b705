"""hrdet: train and evaluate HRNet object detectors from the command line."""

__version__ = "0.1.0"
