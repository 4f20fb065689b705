"""A training run on the screen: a live bar and its figures on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from hrdet_cli.cli.display.console import print_line
from hrdet_cli.cli.display.evaluation import format_ap
from hrdet_cli.cli.display.pace import Pace
from hrdet_cli.cli.display.work import CountColumn, WorkDisplay
from hrdet_cli.engine.training.reports import StepReport
from hrdet_cli.runs.best_by import NAME_OF_NUMBER
from hrdet_cli.runs.events import (
    CheckpointSaved,
    Evaluated,
    EvaluationProgress,
    Event,
    Notice,
    RunFinished,
    RunForecast,
    RunStarted,
    RunStopped,
    StepForecast,
)
from hrdet_cli.runs.plan import LargestStep
from hrdet_cli.specs.run import RunSpec
from hrdet_cli.wording import command, counted, format_duration

_LONG_SECONDS = 3600
_SHOWN = ("AP", "AP50", "AP75", "AR1000")
"""Numbers of an evaluation, where it has them."""


class TrainingDisplay:
    """Shows a run's events; a context manager, so that the terminal is left in order.

    Args:
        console: Where to draw.
        run: How often to write a line where there is no terminal.
        is_quiet: Whether only how it ended is shown.

    Attributes:
        work: Shows what else goes on, among the run's own bars.
    """

    def __init__(self, console: Console, run: RunSpec, *, is_quiet: bool = False) -> None:
        self._console = console
        self._is_quiet = is_quiet
        self._log_every_steps = run.log_every_steps
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            CountColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
        )
        self._figures = Text()
        self._live = Live(console=console, get_renderable=self._draw, transient=True)
        self.work = WorkDisplay(None if is_quiet else console, self._bar)
        self._entered = ExitStack()
        self._pace = Pace(run.log_every_steps)
        self._training: TaskID | None = None
        self._evaluating: TaskID | None = None
        self._num_steps = 0
        self._is_first_step = True
        self._was_evaluated = False
        self._num_processes = 1

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._is_quiet:
            self._live.start()
            self._entered.callback(self._live.stop)
        self._entered.callback(self.work.show, None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.close()

    def _draw(self) -> RenderableType:
        return Group(self._bar, self._figures) if self._figures else self._bar

    def show(self, event: Event) -> None:
        """Draw one event."""
        match event:
            case StepReport():
                self._show_step(event)
            case RunStarted():
                self._show_start(event)
            case EvaluationProgress():
                self._show_evaluation_progress(event)
            case Evaluated():
                self._show_evaluated(event)
            case Notice():
                self._print(Text.assemble(("note: ", "yellow"), event.message))
            case StepForecast() | RunForecast():
                self._print(_describe_forecast(event))
            case CheckpointSaved() if not event.is_routine:
                self._print(Text(f"saved {event.path}", style="dim"))
            case RunStopped():
                self._print_result(f"stopped after step {event.step}; {self._describe_resuming(event)}")
            case RunFinished():
                self._print_result(
                    f"finished in {format_duration(event.seconds)}, {self._describe_best(event)}; "
                    f"everything is in {event.folder}"
                )

    def _print(self, line: str | Text) -> None:
        if not self._is_quiet:
            print_line(self._console, Text(line) if isinstance(line, str) else line)

    def _print_result(self, line: str) -> None:
        print_line(self._console, Text(line))

    def _show_start(self, event: RunStarted) -> None:
        plan = event.plan
        self._num_steps = event.num_steps
        self._num_processes = plan.num_processes
        self._print(
            f"{plan.name}: {event.num_parameters / 1e6:.1f} M parameters, norm {event.norm}, "
            f"weights {event.weights}, {event.device} in {event.precision}"
        )
        self._print(
            f"{counted(plan.train.num_used, 'training picture')} and "
            f"{counted(plan.val.num_used if plan.val else 0, 'validation picture')}, "
            f"{plan.batch_size} a step, {counted(plan.steps_per_epoch, 'step')} an epoch, "
            f"learning rate {plan.learning_rate:g} = {plan.learning_rate_rule}"
        )
        for group in event.parameter_groups:
            self._print(f"parameter group {group}")
        if event.largest_step is not None:
            self._print(_describe_largest_step(event.largest_step))
        self._training = self._bar.add_task(
            "training", total=event.num_steps, completed=event.resumed_at_step, unit="steps"
        )

    def _show_step(self, report: StepReport) -> None:
        if self._training is None:
            return
        self._pace.add(report)
        parts = " ".join(f"{name} {value:.3f}" for name, value in report.losses.items())
        loss = f"loss {report.loss:.3f}"
        speed = (
            f"lr {report.learning_rate:.2g}  {self._pace.images_per_second:.1f} img/s  "
            f"data wait {self._pace.data_wait:.0%}  {report.peak_memory_bytes / 2**30:.1f} GiB"
        )
        of_parts = in_lines(
            [f"{name} {value:.3f}" for name, value in report.losses.items()], self._console.width
        )
        self._figures = Text(f"{loss}  {speed}\n{of_parts}", style="dim")
        self._bar.update(self._training, completed=report.step, description=f"epoch {report.epoch}")
        if not self._console.is_terminal and self._has_line(report.step):
            remaining = (self._num_steps - report.step) * self._pace.step_seconds
            self._print(
                f"epoch {report.epoch}  step {report.step}/{self._num_steps}  {loss} ({parts})  {speed}  "
                f"ETA {format_duration(remaining)}"
            )

    def _has_line(self, step: int) -> bool:
        """Whether a step has a line where there is no terminal: the first and the last have one, too."""
        is_first, self._is_first_step = self._is_first_step, False
        return is_first or step % self._log_every_steps == 0 or step == self._num_steps

    def _show_evaluation_progress(self, event: EvaluationProgress) -> None:
        if self._evaluating is None:
            self._evaluating = self._bar.add_task("evaluating", total=event.num_in_all, unit=event.unit)
            if not self._console.is_terminal:
                self._print(f"evaluating {event.num_in_all:,} {event.unit} ...")
        self._bar.update(self._evaluating, completed=event.num_done)

    def _show_evaluated(self, event: Evaluated) -> None:
        self._was_evaluated = True
        if self._evaluating is not None:
            self._bar.remove_task(self._evaluating)
            self._evaluating = None
        numbers = "; ".join(
            # Of boxes alone the numbers need no name.
            (f"{task} " if len(event.numbers) > 1 else "")
            + "  ".join(f"{name} {format_ap(of_task[name])}" for name in _SHOWN if name in of_task)
            for task, of_task in event.numbers.items()
        )
        numbers += "" if event.loss is None else f"  loss {event.loss:.3f}"
        what = "evaluated" if event.weights == "raw" else "evaluated the average"
        self._print(f"epoch {event.epoch}  {what}: {numbers}" + ("  (best so far)" if event.is_best else ""))

    def _describe_best(self, event: RunFinished) -> str:
        number = NAME_OF_NUMBER[event.best_by]
        if not event.best:
            return f"no evaluation had any {number}" if self._was_evaluated else "nothing was evaluated"
        average = event.best.get("ema")
        of_average = "" if average is None else f", of the average {format_ap(average)}"
        return f"best {number} {format_ap(event.best.get('raw'))}{of_average}"

    def _describe_resuming(self, event: RunStopped) -> str:
        if self._num_processes == 1:
            return f"go on with: {command('hrdet', 'train', '--resume', '--run-dir', event.folder)}"
        again = command_to_resume(sys.argv[1:], event.folder)
        where = ", on every node that was started so," if "--nodes" in sys.argv else ""
        return f"go on{where} with: {again}"


def in_lines(items: Sequence[str], width: int) -> str:
    """Items side by side, in as few lines as have room for each as a whole."""
    lines: list[str] = []
    for item in items:
        if lines and len(lines[-1]) + 2 + len(item) <= width:
            lines[-1] += f"  {item}"
        else:
            lines.append(item)
    return "\n".join(lines)


def command_to_resume(arguments: Sequence[str], folder: Path) -> str:
    """The same command again, to go on with its run; without a shared disk it tells every node the spec.

    Args:
        arguments: Those of the command that was stopped.
        folder: Its run folder.
    """
    kept = [word for word in arguments if word not in ("--overwrite", "--auto-resume", "--resume")]
    if not any(word.partition("=")[0] == "--run-dir" for word in kept):
        kept += ["--run-dir", str(folder)]
    return command("hrdet", *kept, "--resume")


def _describe_forecast(event: StepForecast | RunForecast) -> str:
    if isinstance(event, RunForecast):
        text = (
            f"on this CPU an epoch takes about {format_duration(event.epoch_seconds)}, and the run "
            f"{format_duration(event.seconds)}, evaluation not counted"
        )
        if event.seconds < _LONG_SECONDS:
            return text
        return f"{text}; smaller pictures (augmentation and padding) or a smaller model.backbone take less"
    pictures = counted(event.num_pictures, "picture")
    return (
        f"trying the largest step once: {event.canvas}, {pictures}; on this CPU it takes about "
        f"{format_duration(event.seconds)} and {event.peak_memory_bytes / 2**30:.1f} GiB"
    )


def _describe_largest_step(step: LargestStep) -> str:
    return (
        f"largest step, tried and undone: {step.canvas}, {counted(step.num_pictures, 'picture')}, "
        f"{counted(step.num_box_rows, 'row')} of boxes: "
        f"{step.peak_memory_bytes / 2**30:.1f} GiB, {step.seconds:.1f} s"
    )
