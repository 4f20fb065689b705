"""The two-stage head of a detector, for tests that look into it."""

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.two_stage import TwoStageHead


def two_stage(detector: Detector) -> TwoStageHead:
    """Its head, which has to be of that kind."""
    if not isinstance(detector.head, TwoStageHead):
        raise TypeError(f"the head is a {type(detector.head).__name__}")
    return detector.head
