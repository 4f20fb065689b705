"""What decides how long the steps of a run take."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from hrdet_cli.specs.keys import is_within, leaves

_DECIDES_NO_TIME = (
    "name",
    "description",
    "evaluation",
    "model.weights",
    "model.strict_weights",
    "model.weights_background",
    "data.root",
    "data.train",
    "data.val",
    "data.demo",
    "data.broken_pictures",
    "optimisation.base_learning_rate",
    "optimisation.base_batch_size",
    "optimisation.learning_rate_scaling",
    "optimisation.weight_decay",
    "optimisation.num_epochs",
    "optimisation.schedule",
    "optimisation.warmup_steps",
    "optimisation.max_warmup_share",
    "optimisation.warmup_factor",
    "optimisation.warmup_shape",
    "run.seed",
    "run.log_every_steps",
    "run.checkpoint_every_epochs",
    "run.num_epoch_checkpoints",
    "run.checkpoint_every_minutes",
    "run.trackers",
    "run.num_pictured_batches",
)
"""All other keys may. Which data are meant is told by their fingerprint, not by their path."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Steps made under the same conditions take as long on the same machine.

    Attributes:
        values: Of the spec, those that matter, by dotted key.
        data_fingerprint: Of the training annotations.
        num_processes: Over all nodes.
    """

    values: Mapping[str, Any]
    data_fingerprint: str
    num_processes: int

    @classmethod
    def of(cls, spec: Mapping[str, Any], *, data_fingerprint: str, num_processes: int) -> Self:
        """The conditions of an experiment.

        Args:
            spec: Its spec as plain types.
            data_fingerprint: Of the training annotations.
            num_processes: Over all nodes.
        """
        values = {key: value for key, value in leaves(spec) if not is_within(key, _DECIDES_NO_TIME)}
        return cls(values, data_fingerprint, num_processes)
