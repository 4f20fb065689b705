"""A run over machines that are not there, planned here."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from hrdet_cli.cli.display.rehearsal import draw_rehearsal_tables
from hrdet_cli.cli.rehearse import parse_shape
from hrdet_cli.engine.benchmarking.step_model import Network
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.errors import SpecError
from hrdet_cli.runs.rehearsal import planning
from hrdet_cli.runs.rehearsal.files import save_rehearsal
from hrdet_cli.runs.rehearsal.measurement import Tried
from hrdet_cli.runs.rehearsal.networks import parse_network
from hrdet_cli.runs.rehearsal.planning import rehearse
from hrdet_cli.runs.rehearsal.rehearsal import Rehearsal, Shape, num_kept_checkpoints
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.specs.loading import LoadedSpec, load_spec
from tests.generators import result_of
from tests.tiny_network import tiny_network

NETWORK = Network("a network", latency_seconds=1e-3, bytes_per_second=1e9)


def loaded(root: Path, *settings: str) -> LoadedSpec:
    chosen = [
        f"data.root={root}",
        "data.demo={seed: 1, num_train_images: 24, num_val_images: 2}",
        "data.batch_size_per_process=2",
        "augmentation.scales_pixels=[[160, 128], [128, 96]]",
        "padding.canvas_pixels=[160, 128]",
        "optimisation.num_epochs=5",
        *settings,
    ]
    return load_spec(preset="demo", settings=chosen)


def rehearsed(spec: LoadedSpec, *, rate: float | None = None) -> Rehearsal:
    with tiny_network():
        return result_of(rehearse(spec, Shape(2, 3), networks=[NETWORK], rate=rate))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def rehearsal(root: Path) -> Rehearsal:
    return rehearsed(loaded(root), rate=8.0)


def test_the_run_is_planned_for_all_processes(rehearsal: Rehearsal) -> None:
    assert rehearsal.plan.num_processes == 6
    assert rehearsal.plan.batch_size == 12
    assert len(rehearsal.loads) == 6
    assert sum(load.num_boxes for load in rehearsal.loads) > 0
    assert {load.num_pixels for load in rehearsal.loads} == {rehearsal.plan.steps_per_epoch * 2 * 160 * 128}
    assert current_world().size == 1, "the group of processes that are not there is gone"


def test_gradients_are_those_of_all_parameters_and_norms_send_the_rest(
    root: Path, rehearsal: Rehearsal
) -> None:
    plain = rehearsed(loaded(root, "norm.kind=batch"), rate=8.0)
    assert plain.messages.gradient_bytes == rehearsal.messages.gradient_bytes
    # What is left without synchronised norms: two denominators, of RPN and regions, and the losses.
    assert plain.messages.num_small == 3
    of_norms = rehearsal.messages.num_small - plain.messages.num_small
    assert of_norms > 0
    assert of_norms % 2 == 0, "each is exchanged forward and backward"


def test_a_given_rate_is_what_a_process_computes(rehearsal: Rehearsal) -> None:
    (modelled,) = rehearsal.modelled
    assert modelled.step.computing == pytest.approx(2 / 8.0)
    assert modelled.step.messages == pytest.approx(rehearsal.messages.num_small * 1e-3)
    assert modelled.hours == pytest.approx(modelled.step.total * rehearsal.plan.num_steps / 3600)
    assert rehearsal.computing.source.startswith("8 pictures a second, as given")


def test_a_step_of_several_batches_takes_as_long_as_all_of_them(
    root: Path, rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = Tried(rehearsal.messages, 1, {}, 1, "no device", is_measured=False)
    monkeypatch.setattr(planning, "try_steps", lambda *_, **__: tried)
    found = rehearsed(loaded(root, "optimisation.accumulate_steps=2"), rate=8.0)
    assert found.plan.num_steps == rehearsal.plan.num_steps // 2
    (modelled,) = found.modelled
    assert modelled.step.computing == pytest.approx(2 * 2 / 8.0)
    assert found.checkpoints.num_kept == rehearsal.checkpoints.num_kept
    unscored = rehearsed(loaded(root, "evaluation.every_num_epochs=0"), rate=8.0)
    assert unscored.checkpoints.num_kept == rehearsal.checkpoints.num_kept - 1, "none is the best"


def test_where_nobody_says_the_bandwidth_it_is_told_what_to_give(rehearsal: Rehearsal) -> None:
    assert not any("bandwidth" in assumption for assumption in rehearsal.assumptions)
    (known,) = rehearsal.modelled
    unknown = replace(known, step=replace(known.step, gradients=None))
    *_, last = replace(rehearsal, modelled=(known, unknown)).assumptions
    assert "not counted: give --network LATENCY,BANDWIDTH such as 46us,20GB/s" in last


def test_without_a_rate_this_device_is_tried_and_said_to_be_no_gpu(root: Path) -> None:
    found = rehearsed(loaded(root))
    assert found.computing.seconds > 0
    assert "this CPU" in found.computing.source
    assert "says nothing of a GPU" in found.computing.source


def test_it_is_shown_and_written(rehearsal: Rehearsal, tmp_path: Path) -> None:
    console = Console(width=120, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(draw_rehearsal_tables(rehearsal))
    text = captured.get()
    assert "6 on 2 nodes" in text
    assert "a network" in text
    assert "assumed: a process's batch: 8 pictures a second, as given" in text
    folder = RunFolder(tmp_path / "run")
    document, picture = save_rehearsal(rehearsal, folder)
    assert json.loads(document.read_text()) == json.loads(json.dumps(rehearsal.to_json()))
    assert picture.stat().st_size > 1000
    folder.refuse_if_taken(overwrite=False)  # the run may still begin there


def test_checkpoints_that_are_kept_are_counted(root: Path) -> None:
    spec = loaded(root, "run.checkpoint_every_epochs=2").spec
    assert num_kept_checkpoints(spec, is_evaluated=True) == 1 + 1 + 2
    assert num_kept_checkpoints(spec, is_evaluated=False) == 1 + 2
    few = loaded(root, "run.checkpoint_every_epochs=1", "run.num_epoch_checkpoints=3").spec
    assert num_kept_checkpoints(few, is_evaluated=True) == 1 + 1 + 3


@pytest.mark.parametrize("text", ["8", "8x", "0x8", "axb", "1x1", "999x999"])
def test_other_texts_are_no_machines(text: str) -> None:
    with pytest.raises(SpecError, match=f"--rehearse {text}: is"):
        parse_shape(text)


def test_machines_and_networks_are_read(tmp_path: Path) -> None:
    assert parse_shape("8x4") == Shape(8, 4)
    assert parse_network("46us") == Network("46us, as given", 46e-6, None)
    assert parse_network("46.5us,20GB/s") == Network("46.5us,20GB/s, as given", 46.5e-6, 20e9)
    file = tmp_path / "doctor.json"
    timings = [
        {"num_bytes": 10**8, "median_seconds": 0.01, "num_repetitions": 3},
        {"num_bytes": 4096, "median_seconds": 1e-4, "num_repetitions": 50},
    ]
    file.write_text(json.dumps({"group": {"members": [], "collectives": timings}}))
    assert parse_network(str(file)) == Network("measured by hrdet doctor (doctor.json)", 1e-4, 1e10)


@pytest.mark.parametrize(("content", "told"), [(None, "is neither a latency"), ("{}", "has no times")])
def test_what_is_no_network_is_refused(content: str | None, told: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SpecError, match=told):
        parse_network(str(file))
