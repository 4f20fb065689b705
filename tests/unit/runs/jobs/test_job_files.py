"""The files of `hrdet job` are whole, have no field their schema lacks, and run one hrdet command."""

import ast
import re
import shlex
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, get_args

import pytest
import yaml

from hrdet_cli.runs.doctor.limits import SHARED_MEMORY
from hrdet_cli.runs.jobs.grace import Grace
from hrdet_cli.runs.jobs.job import Job, Target
from hrdet_cli.runs.jobs.mounts import TO_FILL, Mount
from hrdet_cli.runs.jobs.rendering import render_job
from tests.typer_parsing import parameters_of

DATA = ("--train-data", "/data/coco/it's.json", "/data/coco/train.zip")
RUN = ("--run-dir", "/runs/w18")
JOB = Job(
    title="W18 of ours",
    command=("hrdet", "train", "--preset", "demo", *DATA, "--set", "run.seed=3", *RUN, "--auto-resume"),
    run_dir="/runs/w18",
    num_nodes=2,
    gpus_per_node=4,
    cpus_per_node=20,
    hours=36.5,
    max_restarts=2,
    grace=Grace(70, "measured"),
    shm_gib=9,
    image="registry/hrdet:1",
    mounts=(Mount("runs-claim", PurePosixPath("/runs")), Mount("coco-claim", PurePosixPath("/data/coco"))),
    setup=(),
    partition=None,
    account=None,
    accelerator="H100",
    spot=False,
    compute="gpus",
    runtime="torch-distributed",
)

# Fields of the published schemas, where the files may only have some of them.
POD = {
    "subdomain",
    "restartPolicy",
    "terminationGracePeriodSeconds",
    "containers",
    "volumes",
    "securityContext",
}
CONTAINER = {"name", "image", "command", "args", "resources", "volumeMounts"}
BATCH_JOB = {"completionMode", "completions", "parallelism", "backoffLimit", "activeDeadlineSeconds"} | {
    "podFailurePolicy",
    "template",
}
TRAIN_JOB = {"runtimeRef", "activeDeadlineSeconds", "trainer", "runtimePatches"}
TRAINER = {"image", "numNodes", "numProcPerNode", "command", "args", "resourcesPerNode"}
SKYPILOT = {"name", "num_nodes", "resources", "file_mounts", "setup", "run"}
AZURE = {
    "$schema",
    "type",
    "display_name",
    "command",
    "environment",
    "compute",
    "resources",
    "distribution",
} | {
    "limits",
    "inputs",
    "outputs",
}
RAY_JOB = {
    "entrypoint",
    "shutdownAfterJobFinishes",
    "backoffLimit",
    "activeDeadlineSeconds",
    "rayClusterSpec",
}


def documents(target: Target, job: Job = JOB) -> list[Any]:
    return list(yaml.safe_load_all(render_job(job, target)))


def parsed(words: Iterable[str]) -> Mapping[str, Any]:
    """What `hrdet train` makes of a command line."""
    program, name, *arguments = words
    assert (program, name) == ("hrdet", "train")
    return parameters_of(name, arguments)


def words_of_script(text: str, **variables: str) -> list[str]:
    """The words of the hrdet command in a shell script."""
    for name, value in variables.items():
        text = text.replace(f'"${name}"', value)
    (command,) = re.findall(r"hrdet train .*", text.replace("\\\n", " "))
    return shlex.split(command)


def check_command(words: Iterable[str], *, master: str | None) -> None:
    options = parsed(words)
    assert options["preset"] == "demo"
    assert options["train_data"] == ["/data/coco/it's.json", "/data/coco/train.zip"]
    assert options["settings"] == ["run.seed=3"]
    assert options["auto_resume"] is True
    assert options["max_restarts"] == 2
    assert (options["nodes"], options["master_addr"]) == ((2, master) if master else (None, None))


def claims(volumes: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in volumes if "emptyDir" not in v}


def check_storage(container: Mapping[str, Any], volumes: list[Any]) -> None:
    assert claims(volumes) == {"storage-1": "runs-claim", "storage-2": "coco-claim"}
    paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert paths.pop("shm") == str(SHARED_MEMORY)
    assert paths == {"storage-1": "/runs", "storage-2": "/data/coco"}
    assert volumes[-1] == {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "9Gi"}}


def test_slurm_signals_in_time_and_queues_again_what_was_saved() -> None:
    text = render_job(replace(JOB, partition="gpu", setup=("module load cuda",)), "slurm")
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    settings = dict(re.findall(r"^#SBATCH --([a-z-]+)=?(\S*)$", text, flags=re.MULTILINE))
    assert settings == {
        "job-name": "w18-of-ours",
        "partition": "gpu",
        "nodes": "2",
        "ntasks-per-node": "1",
        "gpus-per-node": "4",
        "cpus-per-task": "20",
        "time": "36:30:00",
        "signal": "USR1@70",
        "requeue": "",
        "open-mode": "append",
    }
    assert "module load cuda\n" in text
    assert 'srun --cpus-per-task="$SLURM_CPUS_PER_TASK"' in text  # which it does not inherit
    words = words_of_script(text, MASTER="node1", PORT="20007")
    check_command(words, master="node1")
    assert parsed(words)["master_port"] == 20007


def test_an_indexed_job_has_a_name_for_its_first_pod() -> None:
    service, job = documents("kubernetes")
    assert (service["apiVersion"], service["kind"]) == ("v1", "Service")
    assert service["spec"]["clusterIP"] == "None"
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert set(spec) == BATCH_JOB
    assert set(pod) <= POD
    (container,) = pod["containers"]
    assert set(container) == CONTAINER
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 2, 2)
    assert spec["activeDeadlineSeconds"] == 131400
    assert pod["terminationGracePeriodSeconds"] == 70
    assert pod["subdomain"] == service["metadata"]["name"] == "w18-of-ours"
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 4}
    check_storage(container, pod["volumes"])
    check_command(words_of_script(container["args"][0]), master="w18-of-ours-0.w18-of-ours")


def test_one_pod_needs_no_name() -> None:
    (job,) = documents("kubernetes", replace(JOB, num_nodes=1))
    script = job["spec"]["template"]["spec"]["containers"][0]["args"][0]
    assert "getent" not in script
    check_command(words_of_script(script), master=None)


def test_a_train_job_patches_its_runtime_with_what_a_patch_may_have() -> None:
    (job,) = documents("kubeflow")
    assert (job["apiVersion"], job["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")
    spec = job["spec"]
    assert set(spec) == TRAIN_JOB
    assert set(spec["trainer"]) == TRAINER
    assert (spec["trainer"]["numNodes"], spec["trainer"]["numProcPerNode"]) == (2, 4)
    (patch,) = spec["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    assert replicated["name"] == "node"
    pod = replicated["template"]["spec"]["template"]["spec"]
    assert set(pod) == {"containers", "volumes"}
    (container,) = pod["containers"]
    assert set(container) == {"name", "volumeMounts"}
    check_storage(container, pod["volumes"])
    check_command(words_of_script(spec["trainer"]["args"][0]), master=None)


def test_skypilot_keeps_the_run_folder_in_a_bucket() -> None:
    (task,) = documents("skypilot", replace(JOB, spot=True, setup=("pip install timm",)))
    assert set(task) == SKYPILOT
    assert task["num_nodes"] == 2
    assert task["resources"] == {
        "accelerators": "H100:4",
        "cpus": "20+",
        "image_id": "docker:registry/hrdet:1",
        "use_spot": True,
        "job_recovery": {"max_restarts_on_errors": 2},
    }
    assert {path: mount["mode"] for path, mount in task["file_mounts"].items()} == {
        "/runs": "MOUNT_CACHED",
        "/data/coco": "COPY",
    }
    check_command(words_of_script(task["run"]), master=None)


def test_azure_is_told_of_its_own_folders() -> None:
    job = replace(JOB, max_restarts=0)
    (document,) = documents("azureml", job)
    assert set(document) == AZURE
    assert document["resources"] == {"instance_count": 2, "shm_size": "9g"}
    assert document["distribution"] == {"type": "pytorch", "process_count_per_instance": 4}
    assert document["limits"] == {"timeout": 131400}
    assert document["inputs"]["data_1"]["path"] == "coco-claim"
    assert document["outputs"]["runs"]["path"] == "runs-claim"
    options = parsed(shlex.split(document["command"]))
    assert options["train_data"] == ["${{inputs.data_1}}/it's.json", "${{inputs.data_1}}/train.zip"]
    assert str(options["run_dir"]) == "${{outputs.runs}}/w18"
    assert (options["auto_resume"], options["nodes"]) == (True, None)


def test_ray_starts_a_launcher_on_each_node() -> None:
    config, job = documents("ray")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert set(job["spec"]) == RAY_JOB
    cluster = job["spec"]["rayClusterSpec"]
    assert set(cluster) == {"headGroupSpec", "workerGroupSpecs"}
    (group,) = cluster["workerGroupSpecs"]
    assert group["replicas"] == group["minReplicas"] == group["maxReplicas"] == 2
    pod = group["template"]["spec"]
    check_storage(pod["containers"][0], pod["volumes"])
    tree = ast.parse(config["data"]["launch.py"])
    values = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    check_command(ast.literal_eval(values["COMMAND"]), master=None)
    assert ast.literal_eval(values["(NODES, GPUS, CPUS)"]) == (2, 4, 20)


@pytest.mark.parametrize("target", get_args(Target))
def test_a_file_without_a_time_limit_and_restarts_is_whole(target: Target) -> None:
    text = render_job(replace(JOB, hours=None, max_restarts=0, num_nodes=1), target)
    assert "None" not in text.replace("clusterIP: None", "")
    assert not re.search(r"--max-restarts|[ \t]$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("title", "name"),
    [("HRNet W18, 2x!", "hrnet-w18-2x"), ("18", "run-18"), ("ä", "run"), ("x" * 90, "x" * 40)],
)
def test_names_are_dns_labels(title: str, name: str) -> None:
    assert replace(JOB, title=title).name == name


def test_what_only_the_user_knows_is_named() -> None:
    mounts = (*JOB.mounts, Mount(TO_FILL, PurePosixPath("/more")))
    assert list(replace(JOB, image=TO_FILL, mounts=mounts).blanks()) == [
        "the image",
        "what is mounted at /more",
    ]
    assert not list(JOB.blanks())
