from dataclasses import replace

from rich.console import Console

from hrdet_cli.cli.display.padding import draw_comparison
from hrdet_cli.engine.geometry import Size
from hrdet_cli.runs.benchmark_pad.comparison import Origin, PaddingComparison, PolicyCost, Rate, TrainingCost
from hrdet_cli.runs.benchmark_pad.policies import Policy
from hrdet_cli.specs.padding import BatchPaddingSpec

ORIGIN = Origin("vm", "2026-11-30T01:00:00+00:00", "f1", {})


def comparison(*, with_training: bool, num_workers: int = 4) -> PaddingComparison:
    def cost(name: str, hours: float, *, is_own: bool) -> PolicyCost:
        training = TrainingCost(Rate(1.0, 120.0, 1234.0), 80 * 2**30, hours, is_data_bound=is_own)
        return PolicyCost(
            policy=Policy(name, BatchPaddingSpec(), ("padding.policy=x", "padding.y=[1, 2]"), is_own),
            useful_pixel_share=0.554,
            canvas_shares=tuple((Size(64, 64 * n), 0.005) for n in range(1, 201)),
            imbalance=1.345,
            data_rate=Rate(151.2, 140, 160),
            training=training if with_training else None,
        )

    costs = (cost("fixed", 12.0, is_own=True), cost("canvases 12", 9.5, is_own=False))
    return PaddingComparison("cuda:0", 5, 16, 8, 8, num_workers, costs, ORIGIN)


def draw(shown: PaddingComparison) -> list[str]:
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        console.print(draw_comparison(shown))
    return capture.get().splitlines()


def test_every_column_is_whole_on_80_columns_with_the_largest_figures() -> None:
    lines = draw(comparison(with_training=True))
    assert lines[0] == "16 pictures a step in 8 processes, on cuda:0; medians of 5 repetitions"
    assert lines[1].split() == [
        *("policy", "useful", "shapes", "imbal.", "data/s"),
        *("train/s", "spread", "GiB", "h/epoch"),
    ]
    measured = ["55.4%", "200", "1.34", "151", "1.00", "120-1234", "80.0"]
    assert lines[2].split() == ["fixed", "*", *measured, "12.0d"]
    assert lines[3].split()[-2:] == ["80.0", "9.50"]
    assert max(map(len, lines)) <= 80


def test_the_advice_comes_with_options_for_a_shell_and_its_rule() -> None:
    words = " ".join(" ".join(draw(comparison(with_training=True))).split())
    assert (
        "take canvases 12: 9.50 h an epoch, 21% less time than fixed, the spec's own; their spreads overlap, "
        "so ask for more --repetitions --set padding.policy=x --set 'padding.y=[1, 2]' rule: the fewest hours"
    ) in words


def test_hours_are_explained_as_they_were_computed() -> None:
    assert any("4 workers of each process" in line for line in draw(comparison(with_training=True)))
    without = draw(comparison(with_training=True, num_workers=0))
    assert "h/epoch: the slowest process of each step and its reading, summed: no workers" in without


def test_the_imbalance_says_so_where_other_processes_are_assumed() -> None:
    made = comparison(with_training=True)
    assert "imbal.: largest over mean pixels of 8 processes in a step" in draw(made)
    alone = draw(replace(made, num_processes=1))
    assert "imbal.: largest over mean pixels, if 8 processes shared a step" in alone


def test_one_repetition_has_no_spread() -> None:
    made = comparison(with_training=True)
    training = made.costs[0].training
    assert training is not None
    cost = replace(made.costs[0], training=replace(training, rate=Rate.of([3.0])))
    lines = draw(replace(made, num_repetitions=1, costs=(cost,)))
    assert lines[0].endswith("on cuda:0; 1 repetition")
    assert lines[2].split()[-4:] == ["3.00", "-", "80.0", "12.0d"]
    assert any(line.startswith("keep fixed: only fixed was measured; nothing to compare") for line in lines)


def test_without_training_there_are_no_columns_of_it() -> None:
    lines = draw(comparison(with_training=False))
    assert lines[1].split() == ["policy", "useful", "shapes", "imbal.", "data/s"]
    assert not any("h/epoch" in line for line in lines)
    assert any(line.startswith("keep fixed: nothing else gains more than 3%") for line in lines)
