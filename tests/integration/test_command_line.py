"""The command line itself: help, presets, inspect-batch, benchmark-pad, and how errors look."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.integration.conftest import NUM_TRAIN_PICTURES, FinishedRun, Hrdet, tiny_options


def test_neither_help_nor_the_package_imports_torch_or_pydantic() -> None:
    program = (
        "import sys, hrdet_cli; from hrdet_cli.cli.app import app\n"
        "dir(hrdet_cli), hrdet_cli.DataError, hrdet_cli.__version__\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(' '.join({'torch', 'pydantic', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == "\n"
    for command in ("train", "eval", "inspect-batch", "benchmark-pad", "presets"):
        assert command in done.stdout


def processor_seconds(*arguments: str) -> float:
    """Of a Python process, the least of five."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(seconds)


def test_help_costs_little_more_than_the_libraries_that_draw_it() -> None:
    libraries = processor_seconds("-c", "import typer.rich_utils, rich.table")
    help_page = processor_seconds("-c", "from hrdet_cli.cli.app import main; main()", "--help")
    assert help_page < 2 * libraries


def test_what_needs_no_torch_does_not_import_it() -> None:
    program = (
        "import sys; from hrdet_cli.specs.loading import load_spec; load_spec(preset='demo')\n"
        "import hrdet_cli.runs.import_config, hrdet_cli.cli.display.import_config\n"
        "import hrdet_cli.runs.convert, hrdet_cli.runs.compare.comparison, hrdet_cli.cli.display.progress\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


STEP_AND_DETECTION = """
import sys, torch
import hrdet_cli.runs.predict.prediction, hrdet_cli.runs.train
from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.engine.training.optimiser import Sgd, build_optimiser
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec

detector = build_detector(load_spec(preset="demo-mask").spec, num_classes=2, trains=True)
images = ImageBatch(
    torch.zeros(1, 3, 64, 64, dtype=torch.uint8), torch.tensor([[64, 64]]), torch.zeros(1, dtype=torch.int64)
)
targets = Targets(
    torch.tensor([[[8.0, 8, 40, 40]]]),
    torch.zeros(1, 1, dtype=torch.int64),
    torch.ones(1, 1, dtype=torch.bool),
    torch.ones(1, 1, 28, 28, dtype=torch.uint8),
)
optimiser = build_optimiser(detector, Sgd(momentum=0.9), weight_decay=0)
torch.stack([*detector(images, targets).values()]).sum().backward()
optimiser.step()
detector.eval().detect(images)
print({"matplotlib", "torchvision", "torch._dynamo"} & sys.modules.keys())
"""


def test_what_is_slow_to_import_waits_until_it_is_used() -> None:
    command = [sys.executable, "-c", STEP_AND_DETECTION]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_dry_run_does_not_import_torch(finished_run: FinishedRun) -> None:
    program = (
        "import sys; from hrdet_cli.cli.app import app\n"
        f"try: app({['train', *tiny_options(finished_run.data_root), '--dry-run']!r})\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_all_spec_errors_come_at_once_on_stderr_with_exit_code_2(hrdet: Hrdet) -> None:
    outcome = hrdet("train", "--preset", "demo", "--set", "run.sed=1", "--set", "model.neck_chanels=8")
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert "did you mean run.seed?" in outcome.stderr
    assert "did you mean model.neck.channels?" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_missing_data_is_named_with_the_option_to_give_ones_own(hrdet: Hrdet, tmp_path: Path) -> None:
    outcome = hrdet("train", "--preset", "hrnet-w18", "--set", f"data.root={tmp_path}", "--dry-run")
    assert outcome.exit_code == 3
    assert "instances_train2017.json: does not exist; data.train.annotations points there" in outcome.stderr
    assert "--train-data JSON IMAGES" in outcome.stderr


def test_data_of_ones_own_needs_two_options(finished_run: FinishedRun, hrdet: Hrdet) -> None:
    root = finished_run.data_root
    outcome = hrdet(
        "train",
        "--preset",
        "hrnet-w18-mstrain-pad",
        "--train-data",
        root / "train.json",
        root / "images.zip",
        "--val-data",
        root / "val.json",
        root / "images.zip",
        "--dry-run",
        "--json",
    )
    assert outcome.exit_code == 0
    document = json.loads(outcome.stdout)
    assert document["plan"]["train"]["num_pictures"] == NUM_TRAIN_PICTURES
    assert document["plan"]["sources"]["data.train.images"] == "--train-data"


def test_presets_are_listed_shown_and_copied(hrdet: Hrdet, tmp_path: Path) -> None:
    assert "hrnet-w18-mstrain-pad" in hrdet("presets", "list").stdout
    assert json.loads(hrdet("presets", "list", "--json").stdout)["demo"].startswith("Small HRNet")
    some = hrdet("presets", "list", "w32", "3x").stdout.splitlines()
    assert [line.split()[0] for line in some] == ["Recipes", "preset", "hrnet-w32-mstrain-pad-3x"]
    assert list(json.loads(hrdet("presets", "list", "w32", "3x", "--json").stdout)) == [some[2].split()[0]]
    assert hrdet("presets", "list", "w33").exit_code == 2
    shown = hrdet("presets", "show", "hrnet-w32").stdout
    copy = tmp_path / "mine.yaml"
    assert hrdet("presets", "copy", "hrnet-w32", copy).exit_code == 0
    assert copy.read_text() == shown
    outcome = hrdet("presets", "copy", "hrnet-w32", copy)
    assert outcome.exit_code == 5
    assert "File exists" in outcome.stderr
    assert "drop_epochs: [8, 11]" in hrdet("presets", "show", "hrnet-w32", "--resolved").stdout


def test_inspect_batch_draws_a_sheet_a_batch_and_counts_useful_pixels(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    options = tiny_options(finished_run.data_root)
    outcome = hrdet("inspect-batch", *options, "--batches", "2", "--out", tmp_path, "--json")
    assert outcome.exit_code == 0
    batches = json.loads(outcome.stdout)["batches"]
    assert [Path(batch["sheet"]).name for batch in batches] == ["batch-1.png", "batch-2.png"]
    for batch in batches:
        with Image.open(batch["sheet"]) as sheet:
            assert min(sheet.size) > 200
        width, height = (int(edge) for edge in batch["canvas"].split("x"))
        placed = [[int(edge) for edge in picture["placed"].split("x")] for picture in batch["pictures"]]
        share = sum(w * h for w, h in placed) / (width * height * len(placed))
        assert batch["useful_pixel_share"] == pytest.approx(share)
    assert str(tmp_path / "batch-1.png") in hrdet("inspect-batch", *options, "--out", tmp_path).stdout


def test_inspect_batch_shows_what_training_got(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    assert hrdet("inspect-batch", *tiny_options(finished_run.data_root), "--out", tmp_path).exit_code == 0
    trained = (finished_run.folder / "pictures" / "train-batch-1.png").read_bytes()
    assert (tmp_path / "batch-1.png").read_bytes() == trained


@pytest.mark.slow
def test_benchmark_pad_compares_the_policies_on_real_steps_and_says_which_to_take(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    options = tiny_options(finished_run.data_root, "augmentation.scales_pixels=[[128, 96]]")
    fewest = ("--policies", "fixed,batch", "--repetitions", "1", "--world-size", "2")
    outcome = hrdet("benchmark-pad", *options, *fewest, "--out", tmp_path, "--json")
    assert outcome.exit_code == 0, outcome.stderr
    document = json.loads(outcome.stdout)
    fixed, batch = document["policies"]
    assert fixed["settings"] == ["padding.policy=fixed", "padding.canvas_pixels=[160, 128]"]
    assert fixed["is_own"]
    assert fixed["useful_pixel_share"] < batch["useful_pixel_share"] <= 1
    for policy in (fixed, batch):
        assert policy["data_images_per_second"]["median"] > 0
        training = policy["training"]
        assert training["rate"]["least"] <= training["rate"]["median"] <= training["rate"]["most"]
        assert training["peak_memory_bytes"] > 2**27
        assert 0 < training["hours_per_epoch"] < 1
    assert document["recommendation"]["name"] in ("fixed", "batch")
    assert outcome.stderr == f"{tmp_path / 'padding.png'}\n{tmp_path / 'padding.json'}\n"
    assert (tmp_path / "padding.png").is_file()
    assert json.loads((tmp_path / "padding.json").read_text()) == document


def test_benchmark_pad_leaves_training_out_where_only_data_are_asked_for(
    finished_run: FinishedRun, hrdet: Hrdet
) -> None:
    options = tiny_options(finished_run.data_root)
    outcome = hrdet("benchmark-pad", *options, "--data-only", "--repetitions", "1")
    assert outcome.exit_code == 0, outcome.stderr
    names = [line.split("  ")[0] for line in outcome.stdout.splitlines()[2:5]]
    assert names == ["fixed *", "canvases 3", "batch"], "so few pictures need no more than 3 canvases"
    assert "train/s" not in outcome.stdout
    assert "rule: the most useful pixels" in outcome.stdout


def test_benchmark_pad_overlooks_a_comma_too_many(finished_run: FinishedRun, hrdet: Hrdet) -> None:
    options = tiny_options(finished_run.data_root)
    outcome = hrdet("benchmark-pad", *options, "--policies", "fixed,", "--data-only", "--repetitions", "1")
    assert outcome.exit_code == 0, outcome.stderr
    assert "keep fixed: only fixed was measured; nothing to compare" in outcome.stdout


def test_benchmark_pad_names_the_policies_there_are(finished_run: FinishedRun, hrdet: Hrdet) -> None:
    options = tiny_options(finished_run.data_root)
    outcome = hrdet("benchmark-pad", *options, "--policies", "fixed,tight")
    assert outcome.exit_code == 2
    assert "--policies: 'tight' is unknown; choose from fixed, canvases, batch" in outcome.stderr


def test_a_path_that_no_file_system_takes_is_an_error_without_a_traceback(hrdet: Hrdet) -> None:
    outcome = hrdet("eval", "x" * 5000)
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith("error: xxx")
    assert "File name too long" in outcome.stderr
    assert len(outcome.stderr) < 300


COMMANDS_THAT_WRITE = [
    ("--out", "eval RUN --out X"),
    ("--report", "eval RUN --out OUT --report X.html"),
    ("--out", "predict RUN PICTURE --out X"),
    ("--html", "compare RUN RUN --html X"),
    ("--out", "show RUN --out X"),
    ("--out", "export RUN --to hub-folder --out X"),
    ("--out", "export RUN --to state-dict --out X"),
    ("--out", "weights convert RUN --out X"),
    ("--fix-out", "check-data VAL IMAGES --fix-out X"),
    ("OUT", "convert VAL X --images IMAGES --to yolo"),
    ("--out", "inspect-batch --preset demo --out X"),
    ("--out", "benchmark-pad --preset demo --out X"),
    ("--out", "benchmark-syncbn --out X.png"),
    ("--out", "import CONFIG --out X"),
    ("--run-dir", "train --preset demo --run-dir X"),
    ("--run-dir", "train --preset demo --rehearse 1x2 --run-dir X"),
]


@pytest.mark.parametrize(("option", "line"), COMMANDS_THAT_WRITE)
def test_what_cannot_be_written_is_refused_before_the_work_with_its_option(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path, option: str, line: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "config.py").write_text("model = dict(type='FasterRCNN')")
    (tmp_path / "picture.png").touch()  # which is no picture: nobody gets as far as that
    paths = {
        "RUN": finished_run.folder,
        "VAL": finished_run.data_root / "val.json",
        "IMAGES": finished_run.data_root / "images.zip",
        "PICTURE": tmp_path / "picture.png",
        "CONFIG": tmp_path / "config.py",
        "OUT": tmp_path / "out",
        "X": tmp_path / "file" / "out",
        "X.png": tmp_path / "file" / "out.png",
        "X.html": tmp_path / "file" / "out.html",
    }
    outcome = hrdet(*(paths.get(word, word) for word in line.split()))
    assert outcome.exit_code == 5, outcome.stderr
    assert f"cannot be written to: Not a directory; choose another {option}\n" in outcome.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.py", "file", "picture.png"]
