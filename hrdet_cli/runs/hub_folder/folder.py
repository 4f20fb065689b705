"""Writing a detector as a folder for the Hugging Face hub."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from torch import Tensor

from hrdet_cli.engine.export.weight_files import safetensors_file
from hrdet_cli.engine.weights.names import is_weights_name
from hrdet_cli.runs.hub_folder.card import model_card
from hrdet_cli.runs.hub_folder.facts import DetectorFacts
from hrdet_cli.runs.output_files import write_bytes, write_json, write_text
from hrdet_cli.runs.run_folder import HUB_WEIGHTS
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.layers import Layer
from hrdet_cli.specs.loading import format_spec, validate_layers

_CARD, _SPEC, _METRICS = "README.md", "spec.yaml", "metrics.json"
_PATHS = frozenset({"annotations", "images", "label_maps", "root", "weights"})
"""Keys whose values are paths."""


def write_hub_folder(
    out: Path, facts: DetectorFacts, tensors: Mapping[str, Tensor], header: Mapping[str, str]
) -> int:
    """Write weights, spec, metrics where there are some, and last the card; each file whole or not at all.

    Args:
        out: The folder; made where it is missing.
        facts: What is known of the detector.
        tensors: By our names.
        header: Texts for the header of the weights, but for the spec.

    Returns:
        Bytes of the weights.

    Raises:
        OutputError: They cannot be written.
    """
    spec = format_spec(without_folders(facts.trained.spec))
    content = safetensors_file(tensors, {**header, "spec": spec})
    write_bytes(out / HUB_WEIGHTS, content)
    write_text(out / _SPEC, spec)
    if facts.metrics is None:
        (out / _METRICS).unlink(missing_ok=True)  # of another export
    else:
        write_json(out / _METRICS, facts.metrics)
    write_text(out / _CARD, model_card(facts))
    return len(content)


def without_folders(spec: ExperimentSpec) -> ExperimentSpec:
    """The same spec, with the names of files in place of paths, which say where somebody's files lie."""
    document: dict[str, Any] = json.loads(spec.model_dump_json())
    for section in ("data", "model"):
        document[section] = _named(document[section])
    return validate_layers([Layer(spec.name, document)]).spec


def _named(value: Any) -> Any:
    if isinstance(value, list):
        return [_named(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _name(item) if key in _PATHS else _named(item) for key, item in value.items()}


def _name(value: Any) -> Any:
    return PurePath(value).name if isinstance(value, str) and not is_weights_name(value) else _named(value)
