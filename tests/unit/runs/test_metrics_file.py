"""Lines of ``metrics.jsonl``: added one by one, dropped with the steps that are made again."""

import json
from pathlib import Path

import pytest

from hrdet_cli.engine.visualisation.training_curves import EvaluatedEpoch
from hrdet_cli.errors import OutputError
from hrdet_cli.runs.metrics_file import MetricsFile, read_history

LINES: list[dict[str, object]] = [
    {"kind": "step", "step": 1, "epoch": 1},
    {"kind": "step", "step": 2, "epoch": 1},
    {"kind": "evaluation", "step": 2, "epoch": 1},
    {"kind": "step", "step": 3, "epoch": 2},
]


def written(path: Path) -> MetricsFile:
    metrics = MetricsFile(path)
    for line in LINES:
        metrics.append(line)
    return metrics


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_evaluation_with_a_loss_is_read_whatever_it_was(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    step = {"kind": "step", "step": 1, "epoch": 1, "loss": 1.0, "losses": {"a": 1.0}, "learning_rate": 0.1}
    evaluation = {"kind": "evaluation", "step": 1, "epoch": 1, "weights": "raw", "box": {"AP": 0.5}}
    lines = [
        step,
        {**evaluation, "loss": 0.7, "losses": {"a": 0.7}},
        {**evaluation, "epoch": 2, "loss": None, "losses": {"a": None}},
    ]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    history = read_history(file)
    assert history is not None
    assert [(e.epoch, e.number("box", "AP")) for e in history.evaluations["raw"]] == [(1, 0.5), (2, 0.5)]
    assert history.loss.tolist() == [1.0]


def test_a_line_can_be_read_as_soon_as_it_was_added(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    with written(file) as metrics:
        metrics.sync()
        assert lines_of(file) == LINES
        metrics.append(LINES[0])
        assert lines_of(file) == [*LINES, LINES[0]]


def test_lines_after_the_checkpoint_are_forgotten_with_one_cut_off_by_a_crash(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    metrics = written(file)
    with file.open("a") as other:
        other.write('{"kind": "st')
    assert metrics.drop_after(step=2, epoch=0) is None
    assert lines_of(file) == LINES[:2], "the evaluation will be made again"
    metrics.append(LINES[3])
    assert lines_of(file) == [*LINES[:2], LINES[3]], "the new file is added to, not the one it replaced"
    assert metrics.drop_after(step=1, epoch=0) is None
    assert lines_of(file) == LINES[:1]


@pytest.mark.parametrize(
    "damage",
    ["3", "[]", "{}", '{"kind": "step"}', '{"kind": "ste', "", '{"kind": "step", "step": "3", "epoch": 1}'],
)
def test_a_damaged_line_is_named_and_costs_no_other(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "metrics.jsonl"
    texts = [json.dumps(line) for line in LINES]
    file.write_text("".join(f"{text}\n" for text in [texts[0], damage, *texts[1:]]))
    assert MetricsFile(file).drop_after(step=3, epoch=2) == (
        f"{file}: line 2 is damaged and left out; all others are kept"
    )
    assert lines_of(file) == LINES


def test_many_damaged_lines_are_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(b"\xff\x00\n" * 40)
    told = MetricsFile(file).drop_after(step=3, epoch=2)
    assert told is not None
    assert "lines 1, 2, 3, 4, 5" in told
    assert len(told) < len(str(file)) + 100
    assert file.read_bytes() == b""


def test_without_a_file_there_is_nothing_to_forget(tmp_path: Path) -> None:
    assert MetricsFile(tmp_path / "metrics.jsonl").drop_after(step=1, epoch=1) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.symlink_to("/dev/full")
    expected = r"metrics\.jsonl: cannot be written: No space left on device"
    with MetricsFile(file) as metrics, pytest.raises(OutputError, match=expected):
        metrics.append(LINES[0])


def count_descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def test_lines_keep_one_descriptor(tmp_path: Path) -> None:
    with written(tmp_path / "metrics.jsonl") as metrics:
        before = count_descriptors()
        for line in LINES:
            metrics.append(line)
        assert count_descriptors() == before
    assert count_descriptors() == before - 1


def test_the_history_has_steps_and_evaluations_and_no_damaged_lines(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    steps = [
        {"kind": "step", "epoch": 1, "step": n, "loss": 3.0 * n, "losses": {"a": n, "b": 2 * n}, "x": [n]}
        | {"learning_rate": 0.1 * n}
        for n in (1, 2)
    ]
    evaluation = {
        "kind": "evaluation",
        "weights": "ema",
        "epoch": 1,
        "step": 2,
        "box": {"AP": None},
        "loss": 4,
    }
    texts = [json.dumps(line) for line in (steps[0], steps[1], evaluation)]
    file.write_text("\n".join([texts[0], "\x00" * 40, texts[1], '{"kind": 3}', texts[2], texts[0][:20]]))
    history = read_history(file)
    assert history is not None
    assert history.steps.tolist() == [1, 2]
    assert history.loss.tolist() == [3, 6]
    assert {name: values.tolist() for name, values in history.losses.items()} == {"a": [1, 2], "b": [2, 4]}
    assert history.learning_rates.tolist() == [0.1, 0.2]
    assert history.evaluations == {
        "ema": [EvaluatedEpoch(epoch=1, step=2, numbers={"box": {"AP": None}}, loss=4)]
    }


def test_a_run_without_a_step_has_no_history(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("")
    assert read_history(tmp_path / "metrics.jsonl") is None


def test_masks_of_an_evaluation_are_read_beside_its_boxes(tmp_path: Path) -> None:
    step = {"kind": "step", "epoch": 1, "step": 1, "loss": 3.0, "losses": {"a": 1}, "learning_rate": 0.1}
    numbers = {"box": {"AP": 0.5}, "mask": {"AP": 0.25}}
    evaluation = {"kind": "evaluation", "weights": "raw", "epoch": 1, "step": 1, **numbers}
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in (step, evaluation)))
    history = read_history(tmp_path / "metrics.jsonl")
    assert history is not None
    assert history.evaluations == {"raw": [EvaluatedEpoch(epoch=1, step=1, numbers=numbers)]}
