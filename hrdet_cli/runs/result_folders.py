"""Where the results of a trained detector go unless told otherwise."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from hrdet_cli.engine.weights.names import is_weights_name
from hrdet_cli.runs.origin import MADE_FROM, Origin
from hrdet_cli.runs.run_folder import METRICS
from hrdet_cli.runs.trained_detector.detector import TrainedDetector


def results_folder(trained: TrainedDetector, what: str) -> Path:
    """Where results go unless told otherwise.

    ``RUN/eval-best`` for ``RUN/checkpoints/best.pt``, ``eval-STEM`` beside any other file, and
    ``runs/eval-NAME`` for weights that have a name and no file.
    """
    if trained.file is None:
        return Path("runs") / f"{what}-{trained.name}"
    folder = trained.file.parent
    return (folder.parent if folder.name == "checkpoints" else folder) / f"{what}-{trained.name}"


def evaluation_folder(trained: TrainedDetector, origin: Origin) -> Path:
    """The same of an evaluation: results of other data, or of a changed spec, lie apart.

    A run's results on its own validation data are in ``eval-best``; those on ``test.json`` in
    ``eval-best-on-test``, and with a changed spec in ``eval-best-changed``. Where such a folder holds the
    results of another evaluation, a number follows: for weights of other code also of one with another
    preset, for weights that were fetched also of others of this name. The same evaluation again takes the
    same folder.
    """
    plain = results_folder(trained, "eval")
    saved = trained.saved_spec
    own = None if saved is None or saved.data.val is None else saved.data.locate("val")
    is_own = not trained.is_of_run or trained.spec.data.locate("val") == own
    if trained.is_of_run and trained.file is not None and is_own and not origin.changes:
        return plain
    name = plain.name if is_own else f"{plain.name}-on-{origin.short_title}"
    name += "-changed" if origin.changes else ""
    return next(folder for folder in _numbered(plain.with_name(name)) if _is_for(origin, folder))


def _numbered(folder: Path) -> Iterator[Path]:
    yield folder
    yield from (folder.with_name(f"{folder.name}-{number}") for number in count(2))


def _is_for(origin: Origin, folder: Path) -> bool:
    """Whether a folder holds no results, or those of the same evaluation."""
    try:
        document = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return True
    except (OSError, ValueError, RecursionError):
        return False
    held = document.get(MADE_FROM) if isinstance(document, dict) else None
    asked = json.loads(json.dumps(origin.to_json()))
    same = ["annotations", "split", "images", "changes", "spec"]
    if is_weights_name(origin.weights):
        same.append("weights")
    if not isinstance(held, dict):
        return False
    held = {"spec": asked["spec"], **held}  # which older results do not say
    return all(held.get(key) == asked[key] for key in same)
