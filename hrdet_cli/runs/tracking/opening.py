"""Opening the trackers that a spec asks for."""

from functools import partial

from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.tracking.background import BackgroundTrackers
from hrdet_cli.runs.tracking.tracker import TrackedRun, opener_of
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.keys import leaves
from hrdet_cli.specs.yaml_text import parse_yaml


def open_trackers(
    spec: ExperimentSpec, spec_text: str, folder: RunFolder, *, first_step: int
) -> BackgroundTrackers:
    """Begin with each of ``run.trackers``, or go on where the run was before.

    Args:
        spec: The run's.
        spec_text: The same as YAML.
        folder: The run's, which is there.
        first_step: The last step that is on record; 0 for a new run.
    """
    if not spec.run.trackers:
        return BackgroundTrackers({})
    settings = dict(leaves(parse_yaml(spec_text, source="the spec")))

    def told(tracker: str) -> TrackedRun:
        return TrackedRun(
            name=spec.name,
            folder=folder.trackers / tracker,
            spec_text=spec_text,
            settings=settings,
            first_step=first_step,
        )

    return BackgroundTrackers({name: partial(opener_of(name), told(name)) for name in spec.run.trackers})
