"""How a comparison is put into words, on terminals and on pages."""

from collections.abc import Iterator, Sequence

from hrdet_cli.engine.evaluation.resampling.differences import Difference
from hrdet_cli.runs.compare.report import MAIN_NUMBER, DetectorComparison, Side, SideDifference
from hrdet_cli.wording import counted

NOTHING = "-"
_ONE_IN = 20
"""Of numbers that do not differ at all so many look as if they did, at 95 %."""
_MANY_CLASSES = 10


def number(values: Sequence[float]) -> str:
    """A number of a run, or the mean of those of several; a dash where there is nothing to average."""
    return f"{sum(values) / len(values):.3f}" if values else NOTHING


def signed(value: float) -> str:
    """A difference."""
    return f"{value:+.3f}"


def interval(difference: Difference) -> str:
    """Both ends of an interval."""
    return f"{signed(difference.low)} to {signed(difference.high)}"


def verdict(baseline: Side, side: Side, difference: Difference) -> str:
    """What a difference means, in few words."""
    if difference.verdict == "better":
        return f"{side.letter} is better"
    if difference.verdict == "worse":
        return f"{baseline.letter} is better"
    return difference.verdict


def conclusions(comparison: DetectorComparison, of_side: SideDifference) -> Iterator[str]:
    """How it ended, a sentence for each task."""
    baseline, side = comparison.baseline, of_side.side
    for task, differences in of_side.tasks.items():
        difference = differences.numbers[MAIN_NUMBER]
        name = f"{task} {MAIN_NUMBER}"
        if difference is None:
            yield f"{name}: there is nothing to find"
        elif difference.verdict in ("better", "worse"):
            found = f"{signed(difference.value)} ({interval(difference)})"
            yield f"{name}: {verdict(baseline, side, difference)}: {found}"
        else:
            found = f"{signed(difference.value)} ({interval(difference)})"
            yield f"{name}: {baseline.letter} and {side.letter} are {difference.verdict}: {found}"


def about_intervals(comparison: DetectorComparison) -> str:
    """What intervals are of, and of what they are not."""
    if any(of_side.counts_trainings for of_side in comparison.differences):
        return (
            "Differences of several runs are those of their means; intervals are of other pictures of this "
            "kind and of other trainings of these specs."
        )
    return (
        "Intervals are of other pictures of this kind. Another training of the same spec gives other "
        "numbers, too: to count that, compare groups of runs, as A1 A2 A3 vs B1 B2 B3."
    )


def about_classes(num_classes: int) -> str:
    """That of many classes some look different by chance alone; nothing of few."""
    if num_classes < _MANY_CLASSES:
        return ""
    expected = max(1, round(num_classes / _ONE_IN))
    return (
        f"Of {num_classes} classes that do not differ at all, {counted(expected, 'class', 'classes')} or so "
        "would look different by chance alone."
    )
