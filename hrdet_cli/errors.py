"""Everything hrdet can say went wrong, and the exit code each kind ends the command with.

::

    HrdetError                1   anything below; never raised itself
    ├── SpecError             2   an experiment spec, preset or --set that cannot be used
    ├── DataError             3   annotations or pictures that are missing, broken or contradict each other
    ├── WeightsError          4   a weights file or checkpoint that cannot be read or does not fit
    ├── ExportError           1   an exported file that does not compute what the detector computes
    ├── OutputError           5   a run folder or output that is in the way, missing, or cannot be written
    ├── NonFiniteLossError    6   training produced a loss that is not a finite number
    ├── GroupError            7   processes or nodes that could not form a group, or contradict each other
    ├── LostProcessError      8   a process of the group that died, or was not heard of any more
    └── OutOfMemoryError      9   a training step or a batch on its way that does not fit into memory, or data
                                  workers that the system does not give enough files, processes or threads
        └── MemoryRanOutError     memory that runs out in the middle of work

Ctrl-C ends with 130 and SIGTERM with 143, after the step in progress was saved; SIGHUP, SIGUSR1 and SIGUSR2
likewise with 128 and their number.  Only the command line exits; everything else raises.  A message names the
file, the item, what is wrong and what to do.
"""

from pathlib import Path

from hrdet_cli.wording import command


class HrdetError(Exception):
    """Any other error that a user can cause or mend."""

    exit_code = 1


class SpecError(HrdetError):
    """A spec, preset, config of mmdetection, option or `--set` cannot be used; holds every problem found."""

    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class DataError(HrdetError):
    """Annotations or pictures are missing, broken, or contradict each other; `hrdet check-data` finds all."""

    exit_code = 3


class WeightsError(HrdetError):
    """A weights file or checkpoint cannot be read, is damaged, or does not fit the model."""

    exit_code = 4


class ExportError(HrdetError):
    """A file for another program does not compute what the detector computes, and was not written."""


class OutputError(HrdetError):
    """A run folder or another output is in the way, is missing, or cannot be written."""

    exit_code = 5


class NonFiniteLossError(HrdetError):
    """A training loss is NaN or infinite; checkpoints are untouched, and the batch was saved.

    Attributes:
        loss_name: The first loss part that is not finite, such as ``"rpn_box"``.
        step: Number of the step that produced it, counted from 1 over the whole run.
        batch_file: Where the batch was saved for ``hrdet inspect-batch --batch``, once it was.
    """

    exit_code = 6

    def __init__(self, *, loss_name: str, value: float, step: int, batch_file: Path | None = None) -> None:
        self.loss_name = loss_name
        self.value = value
        self.step = step
        self.batch_file = batch_file
        message = (
            f"'{loss_name}' is {value} at step {step}: training stopped; checkpoints on disk are untouched. "
            "Try a lower optimisation.base_learning_rate, a longer warm-up or run.precision=float32."
        )
        if batch_file is not None:
            look = command("hrdet", "inspect-batch", "--batch", batch_file)
            message += f"\nThe batch was saved; look at it with: {look}"
        super().__init__(message)


class GroupError(HrdetError):
    """Processes or nodes could not form a group, or contradict each other; nothing was lost."""

    exit_code = 7


class LostProcessError(HrdetError):
    """A process of the group died, or was not heard of any more; go on with `--resume`."""

    exit_code = 8


class OutOfMemoryError(HrdetError):
    """The largest training step does not fit into memory, and nothing was trained.

    Or memory ran out in the middle of work. Or the system gives data workers too little: /dev/shm, open files
    (`ulimit -n`), processes or threads.
    """

    exit_code = 9


class MemoryRanOutError(OutOfMemoryError):
    """Memory ran out in the middle of work: another try may find more.

    In a training step, though the largest one had fit in before, or where pictures are looked at.
    """
