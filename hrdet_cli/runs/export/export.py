"""Write a trained detector in the format of another program."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hrdet_cli.engine.data.decoding import decode_rgb
from hrdet_cli.engine.export.check_pictures import DRAWN_SIZES, draw_picture, resize_picture
from hrdet_cli.engine.export.weight_files import mmdetection_file, safetensors_file, state_dict_file
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.errors import DataError, ExportError, SpecError
from hrdet_cli.runs.conventions.conventions import unlike_mmdetection
from hrdet_cli.runs.export.description import describe_model, describe_training
from hrdet_cli.runs.export.target import Format
from hrdet_cli.runs.hub_folder.facts import facts_of
from hrdet_cli.runs.hub_folder.folder import write_hub_folder
from hrdet_cli.runs.origin import changes_with_effect
from hrdet_cli.runs.output_files import write_bytes
from hrdet_cli.runs.progress import WorkProgress
from hrdet_cli.runs.trained_detector.detector import (
    UNKNOWN_IDS,
    TrainedDetector,
    build_trained_detector,
)
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import format_spec

if TYPE_CHECKING:
    from hrdet_cli.engine.export.onnx_check import Agreement


@dataclass(frozen=True, slots=True)
class ExportReport:
    """A file, or a folder, that was written.

    Attributes:
        agreements: What an ONNX model and the detector found in each check picture; none of other formats.
        notices: What the user should be told.
    """

    path: Path
    format: Format
    num_bytes: int
    num_tensors: int
    agreements: tuple["Agreement", ...]
    notices: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The same in plain types."""
        return {
            "path": str(self.path),
            "format": self.format,
            "num_bytes": self.num_bytes,
            "num_tensors": self.num_tensors,
            "agreements": [{**asdict(found), "size": str(found.size)} for found in self.agreements],
            "notices": list(self.notices),
        }


def export_detector(
    read: Callable[[], TrainedDetector],
    *,
    to: Format,
    out: Path,
    check_picture: Path | None,
) -> Generator[WorkProgress, None, ExportReport]:
    """Write a detector in another format.

    Args:
        read: Gives the detector.
        to: The format.
        out: The file to write, which appears whole or not at all, or the folder. What is there is replaced:
            `refuse_impossible` is to be asked first.
        check_picture: Compare an ONNX model with the detector on this picture, not on drawn ones.

    Raises:
        SpecError: The format cannot express the detector.
        WeightsError: The weights are not usable.
        DataError: ``check_picture`` cannot be read.
        OutputError: The file cannot be written.
        ExportError: The ONNX model does not find what the detector finds; nothing was written.
    """
    pictures = _check_pictures(check_picture) if to == "onnx" else []
    yield WorkProgress("reading weights")
    trained = read()
    _refuse_inexpressible(to, trained.spec)
    detector = build_trained_detector(trained, torch.device("cpu"))
    tensors = detector.state_dict()
    if to == "hub-folder":
        return _export_hub_folder(out, trained, detector)
    agreements: list[Agreement] = []
    if to == "onnx":
        from hrdet_cli.engine.export.onnx_check import compare_with_onnxruntime
        from hrdet_cli.engine.export.onnx_model import build_onnx_model

        yield WorkProgress("translating to ONNX", takes="a minute or more")
        content = build_onnx_model(detector.float(), describe_model(trained)).SerializeToString()
        yield WorkProgress("checking", 0, len(pictures))
        for agreement in compare_with_onnxruntime(content, detector, pictures):
            agreements.append(agreement)
            yield WorkProgress("checking", len(agreements), len(pictures))
        _refuse_disagreement(out, agreements)
    elif to == "safetensors":
        content = safetensors_file(tensors, {**describe_training(trained), "spec": format_spec(trained.spec)})
    elif to == "mmdetection":
        content = mmdetection_file(tensors, trained.class_names)
    else:
        content = state_dict_file(tensors)
    write_bytes(out, content)
    notices = list(trained.notices)
    if to == "mmdetection" and (differing := [*unlike_mmdetection(trained.spec)]):
        notices.append(
            "mmdetection's own configurations have other values, so set these there: " + ", ".join(differing)
        )
    notices += _model_notices(trained) if to == "onnx" else ()
    if agreements and not any(found.num_detections for found in agreements):
        notices.append(
            "nothing was found in the check pictures, so the check says little; give it a picture with "
            "objects: --check-picture FILE"
        )
    return ExportReport(out, to, len(content), len(tensors), tuple(agreements), tuple(notices))


def _export_hub_folder(out: Path, trained: TrainedDetector, detector: Detector) -> ExportReport:
    tensors = detector.state_dict()
    facts = facts_of(trained, num_parameters=sum(value.numel() for value in detector.parameters()))
    num_bytes = write_hub_folder(out, facts, tensors, describe_training(trained))
    notices = list(trained.notices)
    if facts.metrics is None:
        settings = " with the same --set" if changes_with_effect(trained) else ""
        notices.append(
            "nobody has evaluated these very weights with this spec, so the card has no results: run hrdet "
            f"eval{settings} first, then export again"
        )
    notices.append(
        f"{out / 'README.md'} says no licence; add it, and what else you know, before you publish it"
    )
    return ExportReport(out, "hub-folder", num_bytes, len(tensors), (), tuple(notices))


def _refuse_inexpressible(to: Format, spec: ExperimentSpec) -> None:
    """Some formats have no words for some detectors."""
    selection = spec.model.head.selection
    if to == "onnx" and selection is not None and selection.spec.soft_nms is not None:
        remedy = (
            f"--set {selection.key}.soft_nms=null exports the detector with hard NMS, which finds other boxes"
        )
        raise SpecError([f"--to onnx: ONNX has no soft-NMS; {remedy}"])
    if to == "mmdetection" and spec.norm.kind == "group":
        raise SpecError(["--to mmdetection: its group norms have other names; export with --to state-dict"])


def _model_notices(trained: TrainedDetector) -> Iterator[str]:
    """That nobody says the ids in a model, and what the spec has hrdet do around it, which it is without."""
    spec = trained.spec
    if trained.category_ids is None and spec.model.head.tells_classes:
        yield UNKNOWN_IDS
    if (tiles := spec.data.tiles) is not None:
        yield (
            f"data.tiles is not in the model: cut pictures of more than {tiles.side_pixels} pixels into "
            f"tiles that share {tiles.overlap_pixels}, give it each by itself and merge what is found; its "
            "metadata have the numbers as tiles"
        )
    if spec.evaluation.test_time_augmentation is not None:
        yield "evaluation.test_time_augmentation is not in the model, which looks at a picture once"


def _check_pictures(file: Path | None) -> list[Tensor]:
    """Pictures of three sizes, ``(3, H, W)`` uint8 RGB each."""
    if file is None:
        return [draw_picture(size) for size in DRAWN_SIZES]
    try:
        return resize_picture(decode_rgb(file.read_bytes(), expected=None, name=str(file)))
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from error


def _refuse_disagreement(out: Path, agreements: Sequence["Agreement"]) -> None:
    lines = [
        f"{found.size}: {found.num_alone} of the detector's {found.num_detections} and the exported model's "
        f"{found.num_exported} detections have no counterpart"
        for found in agreements
        if not found.is_close
    ]
    if lines:
        raise ExportError(
            "\n".join(
                [
                    f"{out}: not written, because onnxruntime does not find what the detector finds",
                    *lines,
                    "Other versions of torch, onnxscript or onnxruntime may translate it right.",
                ]
            )
        )
