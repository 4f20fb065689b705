"""Differences with their intervals."""

import re

import pytest

from hrdet_cli.engine.visualisation.interval_plot import IntervalRow, draw_intervals
from hrdet_cli.engine.visualisation.palette import class_colour


def test_rows_are_where_their_values_are_and_have_their_names() -> None:
    rows = [
        IntervalRow("all $of$ it", 0.1, 0.05, 0.2, class_colour(2)),
        IntervalRow("dog", -0.1, -0.2, 0.0, class_colour(3)),
    ]
    text = draw_intervals(rows, x_label="B - A").text
    assert "all $of$ it" in text
    assert "dog" in text
    lines = {
        number: [float(x) for x in re.findall(r"[ML] ([\d.]+) ", path)]
        for path, number in re.findall(r'<path d="([^"]*)"[^>]*var\(--line-(\d)\)', text)
        if path.count("L") == 1
    }
    (low_3, high_3), (low_4, high_4) = lines["3"], lines["4"]
    assert (high_3 - low_3) / (high_4 - low_4) == pytest.approx(0.75, abs=0.01)
    assert low_3 - high_4 == pytest.approx((high_4 - low_4) / 4, abs=0.1)
