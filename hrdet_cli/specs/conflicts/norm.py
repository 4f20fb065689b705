"""Norms that do not go with other parts of the model."""

from collections.abc import Iterator

from hrdet_cli.specs.base import Problem
from hrdet_cli.specs.heads.head import HeadSpec
from hrdet_cli.specs.norm import BatchNormSpec, NormSpec, SyncBatchNormSpec


def norm_problems(norm: NormSpec, head: HeadSpec) -> Iterator[Problem]:
    """What does not go together with ``norm``."""
    yield from _epsilon_problems(norm)
    yield from _back_end_problems(norm, head)
    yield from _problems_of_valid_statistics(norm, head)


def _epsilon_problems(norm: NormSpec) -> Iterator[Problem]:
    has_fixed_statistics = isinstance(norm, BatchNormSpec) and norm.keep_statistics
    if isinstance(norm, BatchNormSpec | SyncBatchNormSpec) and norm.epsilon == 0 and not has_fixed_statistics:
        yield (
            "norm.epsilon",
            "0 is only for statistics that stay as they are: a channel of equal pixels has no variance; "
            "set norm.kind=frozen, or norm.epsilon=1e-5",
        )


def _back_end_problems(norm: NormSpec, head: HeadSpec) -> Iterator[Problem]:
    """Back ends that count every pixel and every region, with what needs to leave some out."""
    if not isinstance(norm, SyncBatchNormSpec) or norm.back_end not in ("torch", "apex"):
        return
    if norm.statistics == "valid":
        yield (
            "norm.statistics",
            f"'valid' is not for norm.back_end '{norm.back_end}', which counts all pixels; "
            "set norm.back_end=coalesced or norm.statistics=all",
        )
    for key, choice in head.region_norms.items():
        if choice == "batch":
            yield (
                "norm.back_end",
                f"'{norm.back_end}' counts regions that are padding, so {key} cannot be 'batch'; "
                f"set norm.back_end=coalesced, or {key} to group or null",
            )


def _problems_of_valid_statistics(norm: NormSpec, head: HeadSpec) -> Iterator[Problem]:
    """Anchors and points that depend on the padding, where nothing else does."""
    if not isinstance(norm, BatchNormSpec | SyncBatchNormSpec) or norm.statistics == "all":
        return
    anchors, points = head.anchors, head.points
    settings: list[tuple[str, str, str]] = []
    if anchors is not None:
        settings.append((f"{anchors.key}.anchor_area", anchors.spec.anchor_area, "picture"))
        settings.append((f"{anchors.key}.anchor_step", anchors.spec.anchor_step, "stride"))
    if points is not None:
        settings.append((f"{points.key}.point_area", points.spec.point_area, "picture"))
        settings.append((f"{points.key}.point_step", points.spec.point_step, "stride"))
    for key, value, needed in settings:
        if value != needed:
            what = "points" if ".point_" in key else "anchors"
            yield (
                key,
                f"'{value}' makes {what} depend on the padding, but with norm.statistics=valid nothing "
                f"does; set {key}={needed} or norm.statistics=all",
            )
