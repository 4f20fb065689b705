"""The spec of a training, changed for what comes after it: an evaluation, prediction, an export."""

from collections.abc import Iterator, Sequence

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.keys import leaves
from hrdet_cli.specs.layers import Layer
from hrdet_cli.specs.run import EvaluationSpec
from hrdet_cli.specs.yaml_text import shown

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

    Raises:
        SpecError: A change is of no effect, since nothing is trained.
    """
    if problems := [problem for change in changes for problem in _without_effect(change)]:
        raise SpecError(problems)
    return [Layer("after training", {_SECTION: dict(_DEFAULTS)}), *changes] if changes else []


def _without_effect(change: Layer) -> Iterator[str]:
    for key, value in leaves(change.values):
        section, _, name = key.partition(".")
        if section == _SECTION and name in _DEFAULTS and value != _DEFAULTS[name]:
            yield (
                f"{change.source}: only a training looks at {key}, and nothing is trained here, so "
                f"{shown(value)} has no effect; leave it out"
            )
