"""The padding policies that are compared, made to fit a spec."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hrdet_cli.engine.data.padding import rounded_up
from hrdet_cli.errors import SpecError
from hrdet_cli.specs.augmentation import ResizeCropSpec, ScaleJitterSpec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.padding import BatchPaddingSpec, CanvasesPaddingSpec, FixedPaddingSpec, PaddingSpec

POLICY_NAMES = ("fixed", "canvases", "batch")
NUMS_CANVASES = (3, 6)
"""How many canvases are chosen where the spec does not say."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy to measure.

    Attributes:
        name: Short, such as ``canvases 3``.
        padding: The section of the spec.
        settings: ``key=value`` texts that choose it.
        is_own: The spec has it already.
    """

    name: str
    padding: PaddingSpec
    settings: tuple[str, ...]
    is_own: bool

    @property
    def options(self) -> str:
        """The ``--set`` options that choose it, ready for a shell."""
        return " ".join(f"--set {shlex.quote(setting)}" for setting in self.settings)


def choose_policies(spec: ExperimentSpec, names: Sequence[str]) -> list[Policy]:
    """Policies of some names, the spec's own with its own settings.

    Args:
        spec: The experiment.
        names: Of `POLICY_NAMES`.  Where the spec's own is not among them it comes first: the others are to be
            compared to it.

    Raises:
        SpecError: A name is unknown, or there is none.
    """
    if not names:
        raise SpecError([f"--policies: names none; choose from {', '.join(POLICY_NAMES)}"])
    unknown = [name for name in names if name not in POLICY_NAMES]
    if unknown:
        raise SpecError(
            [f"--policies: {name!r} is unknown; choose from {', '.join(POLICY_NAMES)}" for name in unknown]
        )
    own = spec.padding.policy
    chosen = dict.fromkeys(names if own in names else [own, *names])
    return [policy for name in chosen for policy in _policies_called(name, spec)]


def _policies_called(name: str, spec: ExperimentSpec) -> Iterator[Policy]:
    own = spec.padding
    if name == "fixed":
        fixed = own if isinstance(own, FixedPaddingSpec) else _smallest_fixed(spec)
        canvas = f"padding.canvas_pixels={list(fixed.canvas_pixels)}"
        yield Policy("fixed", fixed, ("padding.policy=fixed", canvas), own == fixed)
    elif name == "batch":
        if isinstance(spec.augmentation, ScaleJitterSpec):
            return  # which specs refuse
        batch = own if isinstance(own, BatchPaddingSpec) else BatchPaddingSpec()
        divisor = f"padding.divisor_pixels={batch.divisor_pixels}"
        settings = ("padding.policy=batch", divisor) if own == batch else ("padding.policy=batch",)
        yield Policy("batch", batch, settings, own == batch)
    elif isinstance(own, CanvasesPaddingSpec) and own.canvases_pixels is not None:
        edges = [list(canvas) for canvas in own.canvases_pixels]
        settings = ("padding.policy=canvases", f"padding.canvases_pixels={edges}")
        yield Policy(f"canvases {len(edges)}", own, settings, is_own=True)
    elif spec.augmentation.extras.turn_probability == 0:  # else specs refuse it
        numbers = (own.num_to_choose,) if isinstance(own, CanvasesPaddingSpec) else NUMS_CANVASES
        for number in numbers:
            padding = CanvasesPaddingSpec(policy="canvases", num_canvases=number)
            settings = ("padding.policy=canvases", f"padding.num_canvases={number}")
            yield Policy(f"canvases {number}", padding, settings, isinstance(own, CanvasesPaddingSpec))


def _smallest_fixed(spec: ExperimentSpec) -> FixedPaddingSpec:
    """The smallest canvas that holds all scales of a spec."""
    augmentation = spec.augmentation
    if isinstance(augmentation, ResizeCropSpec):
        edges = [augmentation.crop_pixels]
    elif isinstance(augmentation, ScaleJitterSpec):
        edges = [(augmentation.edge_pixels, augmentation.edge_pixels)]
    else:
        edges = list(augmentation.scales_pixels)
    long, short = (rounded_up(max(edge)) for edge in zip(*edges, strict=True))
    if augmentation.extras.turn_probability:
        short = long
    return FixedPaddingSpec(policy="fixed", canvas_pixels=(long, short))
