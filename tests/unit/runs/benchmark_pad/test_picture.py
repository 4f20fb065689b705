from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.visualisation.padding_costs import PolicyRow
from hrdet_cli.runs.benchmark_pad import picture
from hrdet_cli.runs.benchmark_pad.comparison import Origin, PaddingComparison, PolicyCost, Rate
from hrdet_cli.runs.benchmark_pad.policies import Policy
from hrdet_cli.specs.padding import BatchPaddingSpec

Ends = tuple[float, float] | None
ORIGIN = Origin("vm", "2026-11-30T01:00:00+00:00", "f1", {})


@pytest.mark.parametrize(
    ("rates", "ends", "note"),
    [
        ([2.0], None, "2 pictures a step in 1 process, on cpu; 1 repetition"),
        (
            [2.0, 4.0],
            (2.0, 4.0),
            "2 pictures a step in 1 process, on cpu; medians of 2 repetitions, "
            "lines from the least to the most",
        ),
    ],
)
def test_one_repetition_has_no_line_from_the_least_to_the_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rates: list[float], ends: Ends, note: str
) -> None:
    drawn: list[tuple[Ends, str]] = []

    def draw(rows: Sequence[PolicyRow], *, title: str, note: str, headings: Sequence[str]) -> Image.Image:
        drawn.append((rows[0].bars[0].ends, note))
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr(picture, "draw_padding_costs", draw)
    cost = PolicyCost(
        policy=Policy("batch", BatchPaddingSpec(), (), is_own=True),
        useful_pixel_share=0.5,
        canvas_shares=((Size(64, 64), 1.0),),
        imbalance=1.0,
        data_rate=Rate.of(rates),
        training=None,
    )
    picture.save_comparison(
        PaddingComparison("cpu", len(rates), 2, 1, 8, 0, (cost,), ORIGIN), tmp_path / "a.png"
    )
    assert drawn == [(ends, note)]
