"""`hrdet job` on the command line."""

import pytest
import yaml
from typer.testing import CliRunner

from hrdet_cli.cli.app import app
from hrdet_cli.cli.job_options import Scheduler
from hrdet_cli.errors import SpecError

RESOURCES = ["--nodes", "2", "--gpus-per-node", "8"]


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["job", *words], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("scheduler", list(Scheduler))
def test_every_scheduler_has_a_file_for_a_preset(scheduler: Scheduler) -> None:
    text = run(scheduler, "--preset", "demo", *RESOURCES)
    assert "hrdet train --preset demo" in text or '"demo"' in text
    assert "--auto-resume" in text
    assert ("FILL-IN" in text) == (scheduler is not Scheduler.SLURM)


def test_a_file_with_all_that_can_be_known_has_nothing_to_fill_in() -> None:
    text = run(
        *("kubernetes", "--preset", "demo", "--set", "data.num_workers=1", *RESOURCES),
        *("--train-data", "/data/a.json", "/data/images", "--image", "hrdet:1"),
        *("--mount", "runs:/runs", "--mount", "data:/data"),
    )
    assert "FILL-IN" not in text
    _, job = yaml.safe_load_all(text)
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["requests"] == {"cpu": 16}
    assert "--set data.num_workers=1" in container["args"][0]
    assert "--run-dir /runs/demo " in container["args"][0]


def test_every_training_data_set_is_in_the_command_and_mounted() -> None:
    text = run(
        *("kubernetes", "--preset", "demo", *RESOURCES, "--image", "hrdet:1", "--mount", "runs:/runs"),
        *("--train-data", "/data/a.json", "/data/images", "--train-data", "/more/b.json", "/more/b.zip"),
        *("--mount", "data:/data", "--mount", "more:/more"),
    )
    assert "FILL-IN" not in text
    *_, job = yaml.safe_load_all(text)
    script = job["spec"]["template"]["spec"]["containers"][0]["args"][0]
    assert "--train-data /data/a.json /data/images --train-data /more/b.json /more/b.zip" in " ".join(
        script.replace("\\\n", " ").split()
    )


def test_data_that_only_a_working_folder_has_are_pointed_out() -> None:
    result = CliRunner().invoke(app, ["job", "kubernetes", "--preset", "hrnet-w18"], catch_exceptions=False)
    assert "from the container's working folder on; --train-data" in result.output


def test_weights_that_only_a_working_folder_has_are_pointed_out_with_what_fetches_them() -> None:
    def noted(*words: str) -> str:
        return " ".join(
            CliRunner().invoke(app, ["job", "kubernetes", *words], catch_exceptions=False).output.split()
        )

    assert "working folder on; --weights imagenet:hrnetv2_w18 fetches the same" in noted(
        "--preset", "hrnet-w18"
    )
    own = noted("--preset", "hrnet-w18", "--set", "model.weights=mine.pth")
    assert "the spec's weights are mine.pth, from the container's working folder on; --weights FILE" in own
    for known in (["--from-scratch"], ["--weights", "imagenet:hrnetv2_w18"], ["--weights", "/data/mine.pth"]):
        assert "the spec's weights" not in noted("--preset", "hrnet-w18", *known)


def test_an_option_that_a_file_has_no_place_for_is_refused() -> None:
    with pytest.raises(SpecError) as raised:
        run("slurm", "--preset", "demo", "--image", "a", "--spot")
    assert raised.value.problems == [
        "--image: a file for slurm has no place for it, only for kubernetes, kubeflow, skypilot, azureml, "
        "ray; leave it away",
        "--spot: a file for slurm has no place for it, only for skypilot; leave it away",
    ]


def test_a_spec_that_is_wrong_is_refused_here() -> None:
    with pytest.raises(SpecError, match="optimisation"):
        run("slurm", "--preset", "demo", "--set", "optimisation.num_epochs=none")
