"""hrdet: train, evaluate and use HRNet object detectors.

::

    import hrdet_cli as hrdet

    detector = hrdet.load("runs/mine")
    found = detector.predict("photo.jpg")

The names of ``__all__`` are public; docs/python.md introduces them.  Every other name of this package, and
every module in it, is private and may change.  Importing it imports neither torch nor pydantic: a name is
loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from hrdet_cli.version import __version__

if TYPE_CHECKING:
    from hrdet_cli.api.batching import make_batch
    from hrdet_cli.api.detections import Detection, Detections
    from hrdet_cli.api.evaluation import Evaluation, evaluate
    from hrdet_cli.api.group import process_group
    from hrdet_cli.api.loading import build, load
    from hrdet_cli.api.masks import Masks
    from hrdet_cli.api.pictures import Picture
    from hrdet_cli.api.predictor import Predictor
    from hrdet_cli.api.training import DataSource, train
    from hrdet_cli.engine.distributed.ranks import World
    from hrdet_cli.engine.evaluation.coco_metrics import ClassMetrics, TaskMetrics
    from hrdet_cli.engine.structures import ImageBatch, Targets
    from hrdet_cli.engine.training.reports import StepReport
    from hrdet_cli.errors import (
        DataError,
        GroupError,
        HrdetError,
        LostProcessError,
        NonFiniteLossError,
        OutOfMemoryError,
        OutputError,
        SpecError,
        WeightsError,
    )
    from hrdet_cli.runs.events import (
        CheckpointSaved,
        Evaluated,
        EvaluationProgress,
        Event,
        Notice,
        RunFinished,
        RunForecast,
        RunStarted,
        RunStopped,
        StepForecast,
    )

__all__ = [
    "CheckpointSaved",
    "ClassMetrics",
    "DataError",
    "DataSource",
    "Detection",
    "Detections",
    "Evaluated",
    "Evaluation",
    "EvaluationProgress",
    "Event",
    "GroupError",
    "HrdetError",
    "ImageBatch",
    "LostProcessError",
    "Masks",
    "NonFiniteLossError",
    "Notice",
    "OutOfMemoryError",
    "OutputError",
    "Picture",
    "Predictor",
    "RunFinished",
    "RunForecast",
    "RunStarted",
    "RunStopped",
    "SpecError",
    "StepForecast",
    "StepReport",
    "Targets",
    "TaskMetrics",
    "WeightsError",
    "World",
    "__version__",
    "build",
    "evaluate",
    "load",
    "make_batch",
    "process_group",
    "train",
]

_NAMES_BY_MODULE = {
    "api.batching": ("make_batch",),
    "api.detections": ("Detection", "Detections"),
    "api.evaluation": ("Evaluation", "evaluate"),
    "api.group": ("process_group",),
    "api.loading": ("build", "load"),
    "api.masks": ("Masks",),
    "api.pictures": ("Picture",),
    "api.predictor": ("Predictor",),
    "api.training": ("DataSource", "train"),
    "engine.distributed.ranks": ("World",),
    "engine.evaluation.coco_metrics": ("ClassMetrics", "TaskMetrics"),
    "engine.structures": ("ImageBatch", "Targets"),
    "engine.training.reports": ("StepReport",),
    "errors": (
        "DataError",
        "GroupError",
        "HrdetError",
        "LostProcessError",
        "NonFiniteLossError",
        "OutOfMemoryError",
        "OutputError",
        "SpecError",
        "WeightsError",
    ),
    "runs.events": (
        "CheckpointSaved",
        "Evaluated",
        "EvaluationProgress",
        "Event",
        "Notice",
        "RunFinished",
        "RunForecast",
        "RunStarted",
        "RunStopped",
        "StepForecast",
    ),
}
_MODULE_BY_NAME = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}

if not TYPE_CHECKING:  # for whom every name is imported, and others are errors

    def __getattr__(name: str) -> object:
        """Load a public name when it is first asked for (PEP 562)."""
        if name not in _MODULE_BY_NAME:
            raise AttributeError(f"module 'hrdet_cli' has no attribute {name!r}")
        value = getattr(import_module(f"hrdet_cli.{_MODULE_BY_NAME[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """The public names, for editors and notebooks."""
        return sorted(__all__)
