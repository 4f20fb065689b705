"""A comparison of padding policies as a picture."""

from pathlib import Path

from hrdet_cli.engine.visualisation.padding_costs import Bar, PolicyRow, draw_padding_costs
from hrdet_cli.runs.benchmark_pad.comparison import (
    PaddingComparison,
    PolicyCost,
    Rate,
    advise,
    counted,
    format_hours,
)
from hrdet_cli.runs.output_files import save_picture


def save_comparison(comparison: PaddingComparison, path: Path) -> Path:
    """Draw a comparison and write it as PNG; returns the path.

    Raises:
        OutputError: It cannot be written.
    """
    with_training = comparison.costs[0].training is not None
    headings = ["pictures a second, read by one worker"]
    if with_training:
        headings = ["pictures a second, trained", "hours an epoch"]
    advised = advise(comparison.costs).cost
    lines = ", lines from the least to the most" if comparison.num_repetitions > 1 else ""
    picture = draw_padding_costs(
        [_row(cost, is_advised=cost is advised) for cost in comparison.costs],
        title="What padding costs",
        note=comparison.conditions + lines,
        headings=headings,
    )
    save_picture(picture, path)
    return path


def _row(cost: PolicyCost, *, is_advised: bool) -> PolicyRow:
    shapes = counted(len(cost.canvas_shares), "shape")
    if cost.training is None:
        bars = [_rate_bar(cost.data_rate)]
    else:
        hours = cost.training.hours_per_epoch
        bars = [_rate_bar(cost.training.rate), Bar(hours, format_hours(hours))]
    return PolicyRow(
        name=cost.policy.name,
        note=shapes + (", the spec's own" if cost.policy.is_own else ""),
        canvases=cost.canvas_shares,
        useful_pixel_share=cost.useful_pixel_share,
        bars=bars,
        is_advised=is_advised,
    )


def _rate_bar(rate: Rate) -> Bar:
    return Bar(rate.median, f"{rate.median:.1f}", rate.ends)
