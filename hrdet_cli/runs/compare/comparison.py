"""``hrdet compare``: saved detections in, differences with their intervals out."""

from collections.abc import Generator, Iterator, Sequence

import numpy as np

from hrdet_cli.engine.evaluation.comparison import Task
from hrdet_cli.engine.evaluation.resampling.differences import SampledSide, compare_sides
from hrdet_cli.engine.evaluation.resampling.draws import draw_pictures
from hrdet_cli.engine.evaluation.resampling.values import NUMBERS_OF_CLASSES, values_of
from hrdet_cli.runs.compare.common_data import open_common_data
from hrdet_cli.runs.compare.pictures import differing_pictures
from hrdet_cli.runs.compare.report import DetectorComparison, Side, SideDifference, TaskDifferences
from hrdet_cli.runs.compare.saved_results import find_results
from hrdet_cli.runs.compare.scored_run import ScoredRun, score_run
from hrdet_cli.runs.compare.sides import letter_of
from hrdet_cli.runs.compare.spec_differences import SpecDifference, compare_specs
from hrdet_cli.runs.progress import WorkProgress
from hrdet_cli.specs.data import DatasetSpec

_SEED = 0


def compare_detectors(
    sides: Sequence[Sequence[str]],
    *,
    evaluation: str | None = None,
    annotations: DatasetSpec | None = None,
    num_resamples: int = 1000,
) -> Generator[WorkProgress, None, DetectorComparison]:
    """Compare saved detections, all with the first side; nothing is detected anew.

    Args:
        sides: For each side the sources of its runs; see `find_results`.
        evaluation: The folder of results in each run; None for the best or else the last.
        annotations: To score all on these; None for those that the evaluations were made on.
        num_resamples: How often pictures are drawn anew.

    Raises:
        OutputError: There are no results to compare.
        SpecError: Detections do not say what they are of.
        DataError: Evaluations were of different annotations or classes, or files contradict each other.
    """
    results = find_results([source for side in sides for source in side], evaluation=evaluation)
    yield WorkProgress("reading annotations")
    data = open_common_data(results, annotations)
    scored: list[ScoredRun] = []
    for number, saved in enumerate(results):
        yield WorkProgress("matching detections with objects", number, len(results))
        scored.append(score_run(saved, data))
    yield from _sample(scored, num_resamples=num_resamples)
    remaining = iter(scored)
    of_sides = [[next(remaining) for _ in sources] for sources in sides]
    compared = [
        Side(letter_of(number), [one.run for one in of_side]) for number, of_side in enumerate(of_sides)
    ]
    return DetectorComparison(
        data=data,
        sides=compared,
        differences=[
            SideDifference(
                side=side,
                tasks={task: _differences(of_sides[0], of_side, task) for task in _common_tasks(scored)},
                counts_trainings=min(len(of_sides[0]), len(of_side)) > 1,
                pictures=differing_pictures(compared[0].runs[0], side.runs[0], data.annotations),
            )
            for side, of_side in zip(compared[1:], of_sides[1:], strict=True)
        ],
        specs=_compare_known_specs(compared),
        notices=[*data.notices(), *(notice for one in scored for notice in one.notices())],
        num_resamples=num_resamples,
        seed=_SEED,
    )


def _sample(scored: Sequence[ScoredRun], *, num_resamples: int) -> Iterator[WorkProgress]:
    """Values of all runs on the same resamples."""
    is_drawn = ~scored[0].run.boxes.is_left_out
    num_done = 0
    for draws in draw_pictures(is_drawn, num_resamples=num_resamples, seed=_SEED):
        yield WorkProgress("drawing pictures anew", num_done, num_resamples)
        for one in scored:
            for task, sampler in one.samplers.items():
                one.samples[task].append(sampler.values(draws))
        num_done += len(draws)


def _common_tasks(scored: Sequence[ScoredRun]) -> list[Task]:
    return [task for task in scored[0].samplers if all(task in one.samplers for one in scored)]


def _differences(baseline: Sequence[ScoredRun], other: Sequence[ScoredRun], task: Task) -> TaskDifferences:
    """In the order of `values_of`, under their names."""
    metrics = baseline[0].run.metrics.tasks[task]
    left = iter(
        compare_sides(
            _sampled(baseline, task),
            _sampled(other, task),
            num_pictures=baseline[0].samplers[task].num_pictures,
            seed=_SEED,
        )
    )
    numbers = {name: next(left) for name in metrics.numbers}
    by_kind = {kind: [next(left) for _ in metrics.classes] for kind in NUMBERS_OF_CLASSES}
    classes = {
        name: {kind: of_kind[place] for kind, of_kind in by_kind.items()}
        for place, name in enumerate(metrics.classes)
    }
    return TaskDifferences(numbers, classes)


def _sampled(side: Sequence[ScoredRun], task: Task) -> SampledSide:
    return SampledSide(
        np.stack([values_of(one.run.metrics.tasks[task]) for one in side]),
        np.stack([np.concatenate(one.samples[task]) for one in side]),
    )


def _compare_known_specs(sides: Sequence[Side]) -> list[SpecDifference] | None:
    """None where some are not known."""
    specs = [[run.spec for run in side.runs] for side in sides]
    known = [[spec for spec in side if not isinstance(spec, str)] for side in specs]
    return compare_specs(known) if list(map(len, known)) == list(map(len, specs)) else None
