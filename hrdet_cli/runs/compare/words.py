"""How a comparison is put into words, on terminals and on pages."""

from collections.abc import Iterator, Sequence

from hrdet_cli.engine.evaluation.resampling.differences import FEWEST_PICTURES, Difference
from hrdet_cli.runs.compare.report import MAIN_NUMBER, DetectorComparison, Side, SideDifference

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
            continue
        words = verdict(baseline, side, difference)
        if difference.verdict in ("not distinguishable", "the same"):
            words = f"{baseline.letter} and {side.letter} are {words}"
        yield f"{name}: {words}: {signed(difference.value)} ({interval(difference)})"


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


def about_classes(differences: Sequence[Difference]) -> str:
    """That of many classes some look different by chance alone; nothing of few."""
    num_judged = sum(difference.num_pictures >= FEWEST_PICTURES for difference in differences)
    if num_judged < _MANY_CLASSES:
        return ""
    expected = max(1, round(num_judged / _ONE_IN))
    return (
        f"Of {num_judged} classes that do not differ at all, {expected} or so would look different by chance "
        "alone."
    )
