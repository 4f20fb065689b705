"""The whole of an experiment."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from hrdet_cli.specs.augmentation import AugmentationSpec
from hrdet_cli.specs.base import Problem, Spec
from hrdet_cli.specs.conflicts.canvases import canvas_problems, scale_problems
from hrdet_cli.specs.conflicts.compilation import compilation_problems
from hrdet_cli.specs.conflicts.evaluation import evaluation_problems
from hrdet_cli.specs.conflicts.norm import norm_problems
from hrdet_cli.specs.conflicts.training_data import label_map_problems, paste_problems
from hrdet_cli.specs.conflicts.weights import weight_problems
from hrdet_cli.specs.data import DataSpec
from hrdet_cli.specs.model import ModelSpec
from hrdet_cli.specs.norm import BatchNormSpec, NormSpec
from hrdet_cli.specs.optimisation import OptimisationSpec
from hrdet_cli.specs.padding import PaddingSpec
from hrdet_cli.specs.run import EvaluationSpec, RunSpec


class ExperimentSpec(Spec):
    """Everything that decides a run's result."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)
    """Names the run folder; letters, digits, dots, dashes and underscores, 200 at most."""
    description: str = ""
    """What the experiment is, in a line."""
    model: ModelSpec = ModelSpec()
    """The detector."""
    norm: NormSpec = BatchNormSpec()
    """Its normalisation."""
    data: DataSpec
    """The data set and how it is read."""
    augmentation: AugmentationSpec
    """What is done to training pictures."""
    padding: PaddingSpec
    """How training pictures become batches."""
    optimisation: OptimisationSpec = OptimisationSpec()
    """How the weights are changed."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """How pictures are evaluated."""
    run: RunSpec = RunSpec()
    """Seed, device, precision and what is written when."""

    @property
    def best_by(self) -> Literal["box", "mask", "recall", "loss"]:
        """`evaluation.best_by` where `auto` is resolved."""
        if self.evaluation.best_by == "auto":
            return "box" if self.model.head.tells_classes else "recall"
        return self.evaluation.best_by

    def problems(self) -> Iterator[Problem]:
        """Parts that do not go together."""
        head = self.model.head
        yield from norm_problems(self.norm, head)
        yield from scale_problems(self.augmentation)
        yield from canvas_problems(self.padding, self.augmentation)
        yield from paste_problems(self.augmentation, head)
        yield from weight_problems(self.model, self.norm)
        yield from evaluation_problems(self.evaluation, head=head, data=self.data)
        yield from label_map_problems(self.data, head)
        yield from compilation_problems(
            self.run,
            model=self.model,
            norm=self.norm,
            padding=self.padding,
            optimisation=self.optimisation,
        )
