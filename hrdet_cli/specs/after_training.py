"""The spec of a training, changed for what comes after it: an evaluation, prediction, an export."""

from collections.abc import Iterator, Sequence

from hrdet_cli.specs.keys import is_within, leaves
from hrdet_cli.specs.layers import Layer
from hrdet_cli.specs.run import EvaluationSpec

_SECTION = "evaluation"
_DEFAULTS = {
    name: EvaluationSpec.model_fields[name].get_default()
    for name in ("best_by", "every_num_epochs", "patience", "with_loss")
}
OF_TRAININGS = tuple(f"{_SECTION}.{name}" for name in _DEFAULTS)
"""Keys that only the evaluations of a training look at."""


def layers_after_training(changes: Sequence[Layer]) -> list[Layer]:
    """Layers to put on those of a training's spec, which change it for what comes after.

    What only a training's own evaluations look at gets its default first, for it may not go together with
    what is asked for now.

    Args:
        changes: What is asked for, lowest first; without any the spec stays as it is.
    """
    return [Layer("after training", {_SECTION: dict(_DEFAULTS)}), *changes] if changes else []


def describe_without_effect(changes: Sequence[Layer]) -> Iterator[str]:
    """Changes that are asked for and that nothing after a training looks at, a sentence each."""
    for layer in changes:
        for key, _ in leaves(layer.values):
            if is_within(key, ("optimisation", *OF_TRAININGS)):
                yield f"{key} changes nothing here, for only a training looks at it"
