"""The ``hrdet`` command: its subcommands, and how errors end it."""

import errno
import traceback
from typing import Annotated, NoReturn

import typer

import hrdet_cli
from hrdet_cli.cli.benchmark_pad import benchmark_pad
from hrdet_cli.cli.benchmark_syncbn import benchmark_syncbn
from hrdet_cli.cli.check_data import check_data
from hrdet_cli.cli.compare import compare
from hrdet_cli.cli.convert import convert
from hrdet_cli.cli.display.console import quieten
from hrdet_cli.cli.display.work import shown_work
from hrdet_cli.cli.doctor import doctor
from hrdet_cli.cli.evaluate import evaluate
from hrdet_cli.cli.export import export
from hrdet_cli.cli.failures import print_error
from hrdet_cli.cli.import_config import import_config
from hrdet_cli.cli.inspect_batch import inspect_batch
from hrdet_cli.cli.job import job
from hrdet_cli.cli.leaving import end_process
from hrdet_cli.cli.noise import quieten_libraries
from hrdet_cli.cli.predict import predict
from hrdet_cli.cli.presets import presets_app
from hrdet_cli.cli.show import show
from hrdet_cli.cli.standard_streams import lasting_streams, refuse_lost_result
from hrdet_cli.cli.stopping import end_on_stop_signals
from hrdet_cli.cli.train import train
from hrdet_cli.cli.usage import HrdetCommand, HrdetGroup
from hrdet_cli.cli.weights import weights_app
from hrdet_cli.errors import HrdetError
from hrdet_cli.wording import shortened

_FAULTS_OF_PATHS = (
    errno.EACCES,
    errno.EPERM,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENOTDIR,
    errno.EIO,
    errno.ESTALE,
)
"""What can be wrong with a path that was given, wherever it is first looked at."""

app = typer.Typer(
    name="hrdet",
    help="Train and evaluate HRNet object detectors with SyncBN and padded multi-scale batches.",
    cls=HrdetGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Exit codes: 0 done, 1 other error, 2 spec or usage, 3 data, 4 weights or checkpoint, "
    "5 run folder, 6 non-finite loss, 7 processes that cannot form a group, 8 a lost process, "
    "9 out of memory, 128 + N stopped by signal N: 130 by Ctrl-C, 143 by SIGTERM.",
)
app.command("train", cls=HrdetCommand)(train)
app.command("eval", cls=HrdetCommand)(evaluate)
app.command("predict", cls=HrdetCommand)(predict)
app.command("compare", cls=HrdetCommand)(compare)
app.command("show", cls=HrdetCommand)(show)
app.command("export", cls=HrdetCommand)(export)
app.command("import", cls=HrdetCommand)(import_config)
app.command("inspect-batch", cls=HrdetCommand)(inspect_batch)
app.command("benchmark-pad", cls=HrdetCommand)(benchmark_pad)
app.command("benchmark-syncbn", cls=HrdetCommand)(benchmark_syncbn)
app.command("check-data", cls=HrdetCommand)(check_data)
app.command("convert", cls=HrdetCommand)(convert)
app.command("doctor", cls=HrdetCommand)(doctor)
app.command("job", cls=HrdetCommand)(job)
app.add_typer(presets_app, name="presets")
app.add_typer(weights_app, name="weights")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"hrdet {hrdet_cli.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Typer needs a callback to hold the options of ``hrdet`` itself; its help is the app's."""


def main() -> NoReturn:
    """Run the command line; errors become a message on stderr and their exit code."""
    end_on_stop_signals()
    quieten_libraries()
    with lasting_streams():
        exit_code = _run()
    end_process(exit_code)


def _run() -> int:
    """Run the command; its exit code."""
    quieten(False)
    try:
        try:
            with shown_work():
                app(prog_name="hrdet")  # also as python -m hrdet_cli
        except SystemExit as ended:  # Typer's way to end, whatever the code
            if ended.code not in (None, 0):
                return ended.code if isinstance(ended.code, int) else 1
        refuse_lost_result()
    except HrdetError as error:
        print_error(error)
        return error.exit_code
    except Exception as error:
        if not isinstance(error, OSError) or error.filename is None or error.errno not in _FAULTS_OF_PATHS:
            traceback.print_exc()
            return 1
        print_error(HrdetError(f"{shortened(str(error.filename), 200)}: {error.strerror}"))
        return HrdetError.exit_code
    return 0
