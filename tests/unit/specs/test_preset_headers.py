"""What headers of presets say beside the spec: launch lines, settings, weights, and time by arithmetic."""

import re
import shlex
from pathlib import Path

import pytest

from hrdet_cli.engine.weights.published.table import PUBLISHED, find_published
from hrdet_cli.runs.run_time.estimate import time_at_rate
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.presets import all_presets, find_preset
from hrdet_cli.wording import format_duration
from tests.planned_runs import make_annotations, plan_of
from tests.typer_parsing import parameters_of

WITH_TIMES = ["lsj-cascade-mask-w48", "lsj-w18", "lsj-w32", "lsj-w40", "small-data", "tiles-w18"]
TIME = re.compile(
    r"Time: ([\d,]+) steps of (\d+) \w+ \((\d+) GPUs? x (\d+); (\d+) epochs of (?:COCO's )?([\d,]+)[^)]*\) "
    r"are (.+?) where each GPU trains (\d+) a second, (.+?) at (\d+)\. That is arithmetic, no GPU was at "
    r"hand: --dry-run --rate N does it with your figures?\."
)
SETTING = re.compile(r"--set ((?:'[^']*'|[^\s;,:)'])+)")


def header_of(name: str) -> list[str]:
    """The lines of a header, without their signs; what goes on behind a backslash is one line."""
    lines = (line[1:].strip() for line in find_preset(name).read().splitlines() if line.startswith("#"))
    return "\n".join(lines).replace("\\\n", "").splitlines()


def count(text: str) -> int:
    return int(text.replace(",", ""))


@pytest.mark.parametrize("name", WITH_TIMES)
def test_steps_and_hours_are_those_of_the_plan(tmp_path: Path, name: str) -> None:
    told = TIME.search(" ".join(header_of(name)))
    assert told is not None
    num_steps, batch_size, num_gpus, num_each, num_epochs, num_pictures = map(count, told.groups()[:6])
    train = make_annotations(num_pictures)
    plan = plan_of(tmp_path, preset=name, train=train, num_processes=num_gpus)
    assert (plan.num_steps, plan.batch_size) == (num_steps, batch_size)
    assert (plan.num_steps // plan.steps_per_epoch, plan.batch_size // num_gpus) == (num_epochs, num_each)
    for duration, rate in (told.groups()[6:8], told.groups()[8:]):
        assert format_duration(time_at_rate(plan, int(rate)).seconds) == duration


@pytest.mark.parametrize("name", WITH_TIMES)
def test_it_is_said_that_nothing_was_measured_on_coco_and_what_relatives_have(name: str) -> None:
    header = " ".join(header_of(name))
    assert re.search(r"Not measured on COCO", header)
    assert re.search(r"Relatives?: .*\d\d\.\d", header) or name == "small-data"


@pytest.mark.parametrize("name", sorted({str(w.preset) for w in PUBLISHED if w.is_detector and w.preset}))
def test_what_published_weights_gave_is_told(name: str) -> None:
    header = " ".join(header_of(name))
    published = [weights for weights in PUBLISHED if weights.preset == name and weights.is_detector]
    named = [weights for weights in published if weights.name and f" {weights.name} " in header]
    assert any(
        all(re.search(rf"\b{figure:.1f}\b", header) for figure in weights.figures.values())
        for weights in named or published
    )


@pytest.mark.parametrize("name", sorted(all_presets()))
def test_a_launch_line_has_only_options_that_there_are(name: str) -> None:
    (launch,) = (line for line in header_of(name) if line.startswith("Launch: "))
    words = shlex.split(re.split(r" {2,}[(#]", launch.removeprefix("Launch: "))[0])
    assert words[0] == "hrdet"
    assert parameters_of(words[1], words[2:])["preset"] == name


@pytest.mark.parametrize("name", sorted(all_presets()))
def test_settings_that_a_line_proposes_are_settings_of_the_preset(name: str) -> None:
    for line in header_of(name):
        settings = [shlex.split(setting)[0].rstrip(".") for setting in SETTING.findall(line)]
        if settings:
            load_spec(preset=name, settings=settings)


@pytest.mark.parametrize("name", sorted(all_presets()))
def test_weights_that_a_header_names_are_published_with_the_errors_it_tells(name: str) -> None:
    header = " ".join(header_of(name))
    errors = {
        name: find_published(name).figures.get("top-1 error")
        for name in re.findall(r"(?:imagenet|mmdet|torchvision):[\w-]+", header)
    }
    better = re.search(r"--weights (\S+) has a top-1 error of ([\d.]+), not ([\d.]+)", header)
    if better is not None:
        usual = re.search(r"--weights (\S+) fetches the same", header)
        assert usual is not None
        assert [errors[better[1]], errors[usual[1]]] == [float(better[2]), float(better[3])]
