"""What is on record of a run, read from its folder as far as it can be read. Does not import torch."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hrdet_cli.engine.visualisation.training_curves import TrainingHistory
from hrdet_cli.errors import SpecError
from hrdet_cli.runs.metrics_file import read_history
from hrdet_cli.runs.plan import Plan
from hrdet_cli.runs.run_folder import BEST_METRICS, METRICS, SPEC_FILE, RunFolder
from hrdet_cli.runs.run_record import RunRecord
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.layers import Layer
from hrdet_cli.specs.loading import validate_layers
from hrdet_cli.specs.spec_text import parse_spec

_NOTE = "note: "
"""What lines of a run's log begin with that the user should know."""
_HEADING = "--- "
"""What the first line of each launch begins with; its time follows."""
_MOST_LOG_BYTES = 64_000_000


class MadeFrom(msgspec.Struct):
    """What an evaluation was made from, as far as the page tells it."""

    epoch: int | None = None
    step: int | None = None
    annotations: str = ""
    num_pictures: int = 0


class ClassScores(msgspec.Struct, rename={"ap": "AP", "ap50": "AP50", "mask_ap": "mask_AP"}):
    """How well one class was found."""

    ap: float | None = None
    ap50: float | None = None
    mask_ap: float | None = None
    num_boxes: int = 0


class EvaluationFile(msgspec.Struct):
    """A ``metrics.json``."""

    made_from: MadeFrom = msgspec.field(default_factory=MadeFrom)
    classes: dict[str, ClassScores] = {}
    broken_pictures: dict[str, str] = {}


class Launch(msgspec.Struct):
    """An entry of ``run.json``; what older ones lack is empty."""

    started: str = ""
    command: list[str] = []
    folder: str = ""
    host: str = ""
    hosts_by_rank: list[str] = []
    versions: dict[str, str | None] = {}
    git: dict[str, Any] | None = None
    seed: int | None = None
    device: str = ""
    precision: str = ""
    kernels: str = ""
    first_step: int = 0
    data_fingerprints: dict[str, str | None] = {}
    plan: dict[str, Any] = {}
    largest_step: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStory:
    """A run, as its folder tells it.

    Attributes:
        folder: Where it is.
        spec: What it trains; None where ``spec.yaml`` is missing or damaged.
        spec_text: That file.
        launches: The start and each resume; none where ``run.json`` is missing or damaged.
        record: Pictures that could not be read, and those with damaged pixels.
        history: What it measured; None before the first step.
        last: The last evaluation of each kind of weights.
        best: The best one, where it was kept.
        notes: What its log says that the user should know, each once, in order.
    """

    folder: RunFolder
    spec: ExperimentSpec | None
    spec_text: str
    launches: Sequence[Launch]
    record: RunRecord
    history: TrainingHistory | None
    last: Mapping[str, EvaluationFile]
    best: Mapping[str, EvaluationFile]
    notes: Sequence[str]

    @property
    def name(self) -> str:
        """The run's, or its folder's where nobody says."""
        return self.folder.path.absolute().name if self.spec is None else self.spec.name

    @property
    def plan(self) -> Plan | None:
        """Of the last launch; None where nobody says, or an hrdet of other plans wrote it."""
        with suppress(IndexError, msgspec.ValidationError):
            return msgspec.convert(self.launches[-1].plan, Plan)
        return None

    @property
    def num_steps(self) -> int | None:
        """How many it is to make; None where nobody says."""
        found = self.launches[-1].plan.get("num_steps") if self.launches else None
        return found if isinstance(found, int) else None

    @property
    def step_before_validation_data(self) -> int:
        """The last step before the run had the validation data that it has now; 0 where it had no others."""
        had = [launch.data_fingerprints.get("val") for launch in self.launches]
        now = next((fingerprint for fingerprint in reversed(had) if fingerprint is not None), None)
        others = [number for number, fingerprint in enumerate(had) if fingerprint not in (None, now)]
        return self.launches[others[-1] + 1].first_step if others else 0

    @property
    def sources(self) -> dict[str, str]:
        """The layer that set each value; of what a resumed run took from its own spec, the first one."""
        sources: dict[str, str] = {}
        for launch in self.launches:
            found = launch.plan.get("sources")
            for key, source in found.items() if isinstance(found, dict) else ():
                if key not in sources or Path(str(source)).name != SPEC_FILE:
                    sources[key] = str(source)
        return sources


def read_story(folder: RunFolder) -> RunStory:
    """Read what there is; what is missing or damaged leaves its place empty.

    Raises:
        OutputError: There is no run in the folder, or its metrics cannot be read.
    """
    folder.require()
    spec_text = folder.read_spec()
    record = folder.read_record() or RunRecord()
    launches = _launches(record)
    evaluations = {weights: folder.evaluation_of(weights) for weights in ("raw", "ema")}
    last = {weights: _read_evaluation(path / METRICS) for weights, path in evaluations.items()}
    best = {weights: _read_evaluation(path / BEST_METRICS) for weights, path in evaluations.items()}
    return RunStory(
        folder=folder,
        spec=_parse_spec(spec_text),
        spec_text=spec_text,
        launches=launches,
        record=record,
        history=read_history(folder.metrics_file) if folder.metrics_file.is_file() else None,
        last={weights: found for weights, found in last.items() if found is not None},
        best={weights: found for weights, found in best.items() if found is not None},
        notes=_notes_of_log(folder.logs / "rank-0.log", since=launches[0].started if launches else ""),
    )


def _parse_spec(text: str) -> ExperimentSpec | None:
    with suppress(SpecError):
        return validate_layers([Layer("the saved spec", parse_spec(text, source="the saved spec"))]).spec
    return None


def _launches(record: RunRecord) -> list[Launch]:
    with suppress(msgspec.ValidationError):
        return [msgspec.convert(launch, Launch) for launch in record.launches]
    return []


def _read_evaluation(file: Path) -> EvaluationFile | None:
    with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.decode(file.read_bytes(), type=EvaluationFile)
    return None


def _notes_of_log(file: Path, *, since: str) -> list[str]:
    """What its lines say that begin so; nothing where it is on another node.

    Args:
        file: A log, which is added to, also by a run that takes the place of another one.
        since: When the run began, in ISO 8601 by UTC; what was logged before its launch is another run's.
            Empty where nobody says.
    """
    try:
        with file.open("rb") as log:
            lines = log.read(_MOST_LOG_BYTES).decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    if since:
        lines = lines[_first_line(lines, since.replace("T", " ")) :]
    return list(dict.fromkeys(line.removeprefix(_NOTE) for line in lines if line.startswith(_NOTE)))


def _first_line(lines: Sequence[str], began: str) -> int:
    """The heading of the last launch until a time; the first line where there is none."""
    headings = [number for number, line in enumerate(lines) if line.startswith(_HEADING)]
    times = {number: lines[number].removeprefix(_HEADING)[: len(began)] for number in headings}
    return max((number for number in headings if times[number] <= began), default=0)
