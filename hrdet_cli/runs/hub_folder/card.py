"""The model card of a detector: a README with the front matter that the Hugging Face hub reads.

What is not known is not in it. The fields are those of https://huggingface.co/docs/hub/model-cards.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from hrdet_cli.engine.weights.names import is_weights_name
from hrdet_cli.runs.conventions.presets import contents_of_model
from hrdet_cli.runs.hub_folder.facts import DetectorFacts
from hrdet_cli.runs.hub_folder.training_data import describe_training_data
from hrdet_cli.runs.origin import MADE_FROM
from hrdet_cli.runs.run_folder import HUB_WEIGHTS
from hrdet_cli.version import __version__
from hrdet_cli.wording import counted

_SHOWN_CLASSES = 100
_TASKS = {"box": "Boxes", "mask": "Masks"}


def model_card(facts: DetectorFacts) -> str:
    """The card as a text."""
    return "\n".join([*_front_matter(facts), "", *_body(facts), ""])


def _front_matter(facts: DetectorFacts) -> Iterator[str]:
    """YAML, every text of it as JSON writes it, which is YAML too."""
    contents = contents_of_model(facts.trained.spec.model)
    tags = [
        "hrdet",
        "object-detection",
        facts.trained.spec.model.head.kind.replace("_", "-"),
        str(contents.backbone).lower(),
    ]
    yield "---"
    yield "library_name: hrdet"
    yield "pipeline_tag: object-detection"
    yield f"tags: {json.dumps([*tags, *(['instance-segmentation'] if contents.has_masks else [])])}"
    if facts.metrics is not None:
        yield from _model_index(facts.trained.spec.name, facts.metrics)
    yield "---"


def _model_index(name: str, metrics: Mapping[str, Any]) -> Iterator[str]:
    data = json.dumps(metrics[MADE_FROM].get("annotations", "unnamed"), ensure_ascii=False)
    yield "model-index:"
    yield f"- name: {json.dumps(name, ensure_ascii=False)}"
    yield "  results:"
    yield "  - task: {type: object-detection}"
    yield f"    dataset: {{name: {data}, type: {data}}}"
    yield "    metrics:"
    for task in _TASKS:
        if (ap := metrics.get(task, {}).get("AP")) is not None:
            yield f"    - {{type: {task}_ap, name: {task} AP, value: {100 * ap:.2f}}}"


def _body(facts: DetectorFacts) -> Iterator[str]:
    spec = facts.trained.spec
    yield f"# {spec.name}"
    yield ""
    yield from ([spec.description, ""] if spec.description else [])
    contents = contents_of_model(spec.model)
    number = counted(len(facts.trained.class_names), "class", "classes")
    size = f"{facts.num_parameters / 1e6:.1f} M parameters"
    yield f"A {contents} on {contents.backbone} for {number}, {size}. Written by hrdet {__version__}."
    yield ""
    yield from _use()
    yield from ([] if facts.metrics is None else _results(facts.metrics))
    yield from _training(facts)
    yield from _classes(facts)
    yield from _files(facts)


def _use() -> Iterator[str]:
    yield "## How to use it"
    yield ""
    yield "Write the name of this repository in place of OWNER/NAME; of a copy on a disk, its path in"
    yield "place of hf:OWNER/NAME."
    yield ""
    yield "```sh"
    yield "hrdet predict hf:OWNER/NAME PHOTOS"
    yield "hrdet eval hf:OWNER/NAME --val-data VAL.json IMAGES"
    yield "hrdet train --preset PRESET --weights hf:OWNER/NAME --train-data TRAIN.json IMAGES"
    yield "```"
    yield ""
    yield "```python"
    yield "import hrdet_cli as hrdet"
    yield ""
    yield 'detector = hrdet.load("hf:OWNER/NAME")'
    yield 'found = detector.predict("photo.jpg")'
    yield "```"
    yield ""


def _results(metrics: Mapping[str, Any]) -> Iterator[str]:
    made_from = metrics[MADE_FROM]
    tasks = [task for task in _TASKS if isinstance(metrics.get(task), dict)]
    names = list(metrics[tasks[0]]) if tasks else []
    yield "## Results"
    yield ""
    yield "| | " + " | ".join(names) + " |"
    yield "| --- |" + " --- |" * len(names)
    for task in tasks:
        values = (
            "-" if (value := metrics[task].get(name)) is None else f"{100 * value:.1f}" for name in names
        )
        yield f"| {_TASKS[task]} | " + " | ".join(values) + " |"
    yield ""
    sha256 = made_from.get("annotations_sha256")
    yield (
        f"In percent, on {counted(made_from['num_pictures'], 'picture')} of {made_from['annotations']}"
        + (f" (SHA-256 of the annotations {sha256})" if sha256 else "")
        + (f", computed in {made_from['precision']}" if made_from.get("precision") else "")
        + (f" by hrdet {made_from['hrdet']}" if made_from.get("hrdet") else "")
        + ". metrics.json has the numbers of each class."
    )
    yield ""


def _training(facts: DetectorFacts) -> Iterator[str]:
    lines = [*_facts_of_training(facts)]
    if lines:
        yield "## Training"
        yield ""
        yield from (f"* {line}" for line in lines)
        yield ""


def _facts_of_training(facts: DetectorFacts) -> Iterator[str]:
    trained, record = facts.trained, facts.record
    if trained.step is not None:
        epochs = "" if trained.epoch is None else f", {counted(trained.epoch, 'whole epoch')}"
        yield f"{counted(trained.step, 'step')}{epochs}"
    if trained.is_average:
        yield "an average of the weights over the training"
    if not trained.is_of_run:
        return
    spec = trained.spec
    weights = spec.model.weights
    is_path = weights is not None and not is_weights_name(weights)
    yield f"started from {PurePath(str(weights)).name if is_path else weights or 'random weights'}"
    yield f"norm {spec.norm.kind}, optimiser {spec.optimisation.optimiser.kind}"
    if record is None or not record.launches:
        return
    first = record.launches[0]
    plan = first.get("plan", {})
    if (data := describe_training_data(record, step=trained.step)) is not None:
        yield data
    if isinstance(plan.get("batch_size"), int) and isinstance(plan.get("learning_rate"), float):
        yield f"{counted(plan['batch_size'], 'picture')} a step, learning rate {plan['learning_rate']:g}"
    versions = first.get("versions", {})
    named = [f"{name} {versions[name]}" for name in ("hrdet", "torch", "torchvision") if name in versions]
    if named:
        yield f"{', '.join(named)}, on {first.get('device', 'an unknown device')} in {first.get('precision')}"
    yield "spec.yaml has every setting"


def _classes(facts: DetectorFacts) -> Iterator[str]:
    names = facts.trained.class_names
    yield "## Classes"
    yield ""
    shown = ", ".join(names[:_SHOWN_CLASSES])
    yield shown + (f" and {len(names) - _SHOWN_CLASSES} more" if len(names) > _SHOWN_CLASSES else "")
    yield ""


def _files(facts: DetectorFacts) -> Iterator[str]:
    yield "## Files"
    yield ""
    yield f"* `{HUB_WEIGHTS}`: the weights; spec and classes are in its header"
    yield "* `spec.yaml`: how the detector is built, trained and evaluated; paths stand without their folders"
    if facts.metrics is not None:
        yield "* `metrics.json`: the results above, and those of each class"
    yield ""
