"""Command lines that cannot be understood, and what was meant."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hrdet_cli.cli.app import app
from hrdet_cli.cli.options import data_sets
from hrdet_cli.cli.usage import CommandUsage
from hrdet_cli.errors import SpecError
from hrdet_cli.specs.foreign_names import SYNONYM_BY_NAME
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.suggestions import settings_for
from tests.typer_parsing import parameters_of


def problems_of(*words: str) -> list[str]:
    error = CliRunner().invoke(app, words).exception
    assert isinstance(error, SpecError), error
    return error.problems


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            "export a --to onx --out b",
            "--to: must be one of state-dict, mmdetection, safetensors, onnx, hub-folder; got onx; "
            "did you mean onnx?",
        ),
        (
            "export a --to=xyz --out b",
            "--to: must be one of state-dict, mmdetection, safetensors, onnx, hub-folder; got xyz",
        ),
        ("export a --to onnx", "hrdet export needs --out FILE: the file, or the folder, to write"),
        (
            "convert --to yolo",
            "hrdet convert needs SOURCE: COCO's JSON, YOLO's data.yaml or a Pascal VOC folder",
        ),
        ("convert a b", "hrdet convert needs --to: one of coco, yolo, voc"),
        ("job", "hrdet job needs SCHEDULER: one of slurm, kubernetes, kubeflow, skypilot, azureml, ray"),
        ("convert a --to yolo", "hrdet convert needs OUT: the folder to write; it must not exist"),
        (
            "convert a.json images b --to yolo",
            "hrdet convert takes SOURCE OUT; there is no place for b; see hrdet convert --help",
        ),
        (
            "doctor a b",
            "hrdet doctor takes options alone; there is no place for a b; see hrdet doctor --help",
        ),
    ],
)
def test_an_argument_that_is_missing_wrong_or_too_many_is_named_with_what_is_wanted(
    words: str, problem: str
) -> None:
    assert problems_of(*shlex.split(words)) == [problem]


@pytest.mark.parametrize(
    ("words", "beginning", "got"),
    [
        ("train --preset demo --nodes 0", "--nodes: ", "; got 0"),
        ("train --preset demo --nodes=two", "--nodes: ", "; got two"),
        ("predict a b --min-score 2", "--min-score: ", "; got 2"),
        ("job slum --preset demo", "SCHEDULER: must be one of slurm, ", "; got slum; did you mean slurm?"),
    ],
)
def test_a_value_that_an_option_cannot_have_is_named_with_it(words: str, beginning: str, got: str) -> None:
    (problem,) = problems_of(*shlex.split(words))
    assert problem.startswith(beginning)
    assert problem.endswith(got)
    assert "Input" not in problem


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("train --epochs 12", "--epochs; write --set optimisation.num_epochs=12"),
        ("train --epochs=12", "--epochs; write --set optimisation.num_epochs=12"),
        ("train --epochs many", "--epochs; write --set optimisation.num_epochs=12"),
        ("train --lr 0.1", "--lr; write --set optimisation.base_learning_rate=0.1"),
        ("train --batch-size 8", "--batch-size; write --set data.batch_size_per_process=8"),
        ("train --batch_size 8", "--batch_size; write --set data.batch_size_per_process=8"),
        ("train --config x.yaml", "--config; a spec file is given with --spec FILE, and one that comes with"),
        ("train --imgsz 640", "--imgsz; write --set 'augmentation.scales_pixels=[[1333, 800]]'"),
        ("train --amp --preset demo", "--amp; write --set run.precision=bfloat16"),
        ("train --device cuda:0", "--device; write --set run.device=cuda"),
        ("train --device cpu", "--device; write --set run.device=cpu"),
        ("train --workers 4", "--workers; write --set data.num_workers=4"),
        (
            "train --canvas [640,480]",
            "--canvas; write --set padding.policy=fixed --set 'padding.canvas_pixels=[",
        ),
        ("train --momentum 0.8", "--momentum; write --set optimisation.optimiser.momentum=0.8"),
        (
            "train --optimisation.drop-factor .2",
            "--optimisation.drop-factor; write --set optimisation.schedule.drop_f",
        ),
        ("train --pretrained f.pth", "--pretrained; write --weights f.pth"),
        ("train --work-dir x", "--work-dir; the run folder is an option of hrdet train: --run-dir DIR"),
        ("train --gpus 4", "--gpus; all GPUs of a machine are used; --processes-per-node N takes another"),
        ("train --num-classes 3", "--num-classes; the classes come from the training annotations"),
        ("train --resume-from x", "--resume-from; that is an option: hrdet train --resume --run-dir DIR"),
        ("train --cfg-options a=b", "--cfg-options; single values are changed with --set KEY=VALUE, each"),
        ("train --trian-data a b", "--trian-data; did you mean --train-data?"),
        ("train --policies x", "--policies; it is an option of hrdet benchmark-pad"),
        ("train --xyz", "--xyz; see hrdet train --help"),
        ("train -e 3", "-e; see hrdet train --help"),
        ("eval --weights x.pth", "--weights; write hrdet eval x.pth"),
        ("eval --run-dir 'my run'", "--run-dir; write hrdet eval 'my run'"),
        ("predict a b --conf 0.5", "--conf; write --min-score 0.5"),
        ("eval a --conf 0.5", "--conf; write --set model.head.roi_head.score_threshold=0.5"),
        ("predict a b --imgsz 640", "--imgsz; write --set 'evaluation.scale_pixels=[640, 640]'"),
        ("eval a --img-size", "--img-size; write --set 'evaluation.scale_pixels=[1333, 800]'"),
        ("predict a b --iou 0.5", "--iou; write --set model.head.roi_head.nms_iou=0.5"),
        (
            "predict a --source img",
            "--source; pictures are given without an option: hrdet predict RUN PICTURES",
        ),
        ("predict a b --min_score 0.5", "--min_score; did you mean --min-score?"),
        ("doctor --epochs 3", "--epochs; see hrdet doctor --help"),
        ("presets show --foo", "--foo; see hrdet presets show --help"),
    ],
)
def test_an_option_of_other_code_is_answered_with_what_to_write(words: str, answer: str) -> None:
    (problem,) = problems_of(*shlex.split(words))
    command = "presets show" if words.startswith("presets") else words.split()[0]
    assert problem.startswith(f"hrdet {command} has no option {answer}")


def test_a_module_that_is_run_calls_itself_by_the_command() -> None:
    command = [sys.executable, "-m", "hrdet_cli", "train", "--xyz"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == "error: hrdet train has no option --xyz; see hrdet train --help\n"
    assert done.returncode == 2


def test_all_options_that_are_none_are_answered_at_once() -> None:
    problems = problems_of(
        "train", "--lr", "0.1", "--preset", "demo", "--seed", "3", "--set", "run.x=3", "--amp"
    )
    assert [problem.partition(";")[0].split()[-1] for problem in problems] == ["--lr", "--seed", "--amp"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            "--train-data a.json --val-data b c",
            "--train-data takes SOURCE IMAGES: IMAGES is missing, but --val-data follows",
        ),
        (
            "--train-data --val-data=b",
            "--train-data takes SOURCE: SOURCE is missing, but --val-data follows",
        ),
        ("--preset demo --train-data a.json", "--train-data takes SOURCE IMAGES: IMAGES is missing"),
        ("--preset --dry-run", "--preset takes NAME: NAME is missing, but --dry-run follows"),
        ("--set", "--set takes KEY=VALUE: KEY=VALUE is missing"),
    ],
)
def test_an_option_without_its_value_is_named_itself(words: str, problem: str) -> None:
    assert problems_of("train", *words.split()) == [problem]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("demo", "hrdet train takes no demo without an option; write --preset demo"),
        (
            "'my spec.yaml'",
            "hrdet train takes no my spec.yaml without an option; write --spec 'my spec.yaml'",
        ),
        ("run.seed=3", "hrdet train takes no run.seed=3 without an option; write --set run.seed=3"),
        (
            "/ --preset demo",
            "hrdet train takes no / without an option; to go on with a run, write --resume --run-dir /",
        ),
        (
            "a.json --preset demo",
            "hrdet train takes no a.json without an option; give data with --train-data",
        ),
        (
            "--train-data data.yaml /",
            "hrdet train takes no / without an option; data.yaml says itself where its pictures are: leave /",
        ),
        ("run --resume --run-dir other", "run: --run-dir is other; name one run to go on with"),
    ],
)
def test_a_word_without_an_option_is_answered_with_the_one_it_needs(words: str, problem: str) -> None:
    (found,) = problems_of("train", *shlex.split(words))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("fit", "there is no command hrdet fit; did you mean hrdet train?"),
        ("trian", "there is no command hrdet trian; did you mean hrdet train?"),
        ("val", "there is no command hrdet val; did you mean hrdet eval?"),
        ("xyzzy", "there is no command hrdet xyzzy; there are train, eval, predict"),
        ("presets lst", "there is no command hrdet presets lst; did you mean hrdet presets list?"),
        ("--lr 3", "--lr: options stand behind the command they are for: hrdet COMMAND --lr"),
    ],
)
def test_an_unknown_command_is_answered_with_the_likely_one(words: str, problem: str) -> None:
    (found,) = problems_of(*words.split())
    assert found.startswith(problem)


@pytest.mark.parametrize("command", ["", "train", "presets", "presets show", "weights inspect"])
def test_h_is_help(command: str) -> None:
    shown = CliRunner().invoke(app, [*command.split(), "-h"])
    assert shown.exit_code == 0
    assert f"Usage: hrdet {command}".strip() in shown.output
    assert "<bool>" not in shown.output, "a switch takes no value"


@pytest.mark.parametrize(
    "name", sorted({synonym.key: name for name, synonym in SYNONYM_BY_NAME.items()}.values())
)
def test_an_answer_with_a_setting_is_a_valid_one(name: str) -> None:
    settings = settings_for(f"--{name}", None)
    canvas = [setting for setting in settings if setting.startswith("padding.canvas_pixels")]
    scale = ["augmentation.scales_pixels=[[1000, 600]]"] if canvas else []
    files = ("=FILE", "=JSON", "=DIR")
    assert settings
    assert settings[0].endswith(files) or load_spec(preset="hrnet-w18", settings=[*settings, *scale])


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (
            "train --preset hrnet-w32-m",
            ["hrnet-w32-mstrain-pad", "hrnet-w32-mstrain-pad-2x", "hrnet-w32-mstrain-pad-3x"],
        ),
        (
            "train --set optimisation.schedule.drop",
            ["optimisation.schedule.drop_epochs=", "optimisation.schedule.drop_factor="],
        ),
        ("train --overw", ["--overwrite"]),
        ("presets show dem", ["demo", "demo-mask"]),
        ("benchmark-p", ["benchmark-pad"]),
    ],
)
def test_the_shell_completes_commands_options_presets_and_keys(words: str, completed: list[str]) -> None:
    environment = {
        "_HRDET_COMPLETE": "complete_bash",
        "COMP_WORDS": f"hrdet {words}",
        "COMP_CWORD": str(len(words.split())),
    }
    program = "import sys; sys.argv = ['hrdet']; from hrdet_cli.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == completed


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("--train-data a.json images", "--train-data a.json --train-data images"),
        ("--train-data data.yaml --dry-run", "--train-data data.yaml --train-data '' --dry-run"),
        ("--train-data data.yml images --dry-run", "--train-data data.yml --train-data '' images --dry-run"),
        ("--train-data voc x", "--train-data voc --train-data '' x"),
        ("--train-data=a.json images", "--train-data a.json --train-data images"),
        (
            "--train-data voc --train-data b.json images --dry-run",
            "--train-data voc --train-data '' --train-data b.json --train-data images --dry-run",
        ),
        ("--val-data voc a.json", "--val-data voc a.json"),
        ("--val-data . images", "--val-data . images"),
        ("--val-data=data.yaml x", "--val-data data.yaml '' x"),
        ("--set a=b --val-data a.json", "--set a=b --val-data a.json ''"),
        ("--preset=x -- --train-data a.yaml", "--preset=x -- --train-data a.yaml"),
        ("--report runs/mine", "--report '' runs/mine"),
        ("--report", "--report ''"),
        ("--report --dry-run", "--report '' --dry-run"),
        ("--report why.html runs/mine", "--report why.html runs/mine"),
        ("--report=why runs/mine", "--report why runs/mine"),
    ],
)
def test_typer_gets_a_value_for_each_one_left_away_and_the_option_before_each_of_several(
    words: str, completed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "voc" / "Annotations").mkdir(parents=True)
    (tmp_path / "voc" / "Annotations" / "a.xml").touch()
    usage = CommandUsage(
        "hrdet train",
        {"--train-data": 2, "--val-data": 2, "--set": 1, "--preset": 1, "--report": 1, "--dry-run": 0},
        {
            "--train-data": ["SOURCE", "[IMAGES]"],
            "--val-data": ["SOURCE", "[IMAGES]"],
            "--set": ["KEY=VALUE"],
            "--preset": ["NAME"],
            "--report": ["[FILE.html]"],
            "--dry-run": ["a value"],
        },
        {},
        frozenset({"--train-data"}),
    )
    assert usage.as_typer_has_it(shlex.split(words)) == shlex.split(completed)


def test_a_data_set_may_come_again_and_each_has_its_own_pictures(tmp_path: Path) -> None:
    """As Typer hands them to the command."""
    (tmp_path / "voc").mkdir()
    (tmp_path / "voc" / "a.xml").touch()
    words = ["--train-data", "a.json", "x", "--train-data", str(tmp_path / "voc"), "--train-data=b.json", "y"]
    given = parameters_of("train", words)["train_data"]
    assert data_sets(given) == [("a.json", "x"), (str(tmp_path / "voc"), ""), ("b.json", "y")]
    assert data_sets(None) == []
