import io
import os
import signal
import subprocess
import sys

import pytest
import typer

from hrdet_cli.cli.stopping import StopRequest, stop_request
from hrdet_cli.errors import OutputError


@pytest.mark.parametrize(
    ("number", "exit_code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        (signal.SIGHUP, 129),
        (signal.SIGUSR1, 138),
        (signal.SIGUSR2, 140),
    ],
)
def test_a_signal_is_a_request_with_its_exit_code(
    number: signal.Signals, exit_code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with stop_request(says="finishing the step") as stop:
        assert not stop.is_asked()
        os.kill(os.getpid(), number)
        assert stop.is_asked()
    assert stop.exit_code == exit_code
    assert capsys.readouterr().err == "finishing the step\n"


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    with stop_request(says="finishing the step"):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_is_no_other_error_whatever_it_was_turned_into(
    number: signal.Signals, exit_code: int
) -> None:
    def write_a_file_and_fail() -> None:
        with stop_request(says="finishing the step"):
            os.kill(os.getpid(), signal.SIGTERM)
            try:
                os.kill(os.getpid(), number)
            except KeyboardInterrupt as error:  # as torch's writer does inside its callback
                raise OutputError("last.pt: cannot be written: is the disk full?") from error

    with pytest.raises(typer.Exit) as ended:
        write_a_file_and_fail()
    assert ended.value.exit_code == exit_code


def test_a_third_signal_ends_a_process_that_lost_the_second_in_a_destructor() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOSES_THE_SECOND], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (143, "second\n")


LOSES_THE_SECOND = """
import os, signal
from hrdet_cli.cli.stopping import stop_request
with stop_request(says="finishing the step"):
    for text in ("first", "second", "third"):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            print(text, flush=True)
"""


def test_a_signal_that_nohup_ignores_stays_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_request(says="finishing the step") as stop:
            os.kill(os.getpid(), signal.SIGHUP)
        assert not stop.is_asked()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_forked_child_leaves_a_signal_to_its_parent(capfd: pytest.CaptureFixture[str]) -> None:
    with stop_request(says="finishing the step"):
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGUSR1)
            os._exit(7)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert capfd.readouterr().err == ""


def test_a_launcher_may_repeat_a_signal() -> None:
    with stop_request(says=None) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.exit_code == 143


def test_signals_are_the_terminals_again_afterwards() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    before = [signal.getsignal(number) for number in numbers]
    with stop_request(says=None):
        assert all(signal.getsignal(number) not in before for number in numbers)
    assert [signal.getsignal(number) for number in numbers] == before


END = """
import os, signal, sys
from hrdet_cli.cli.stopping import end_on_stop_signals
end_on_stop_signals()
os.kill(os.getpid(), int(sys.argv[1]))
print("went on")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_that_nothing_heeds_ends_with_its_exit_code(number: signal.Signals) -> None:
    command = [sys.executable, "-c", END, str(int(number))]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 128 + number


def test_a_signal_that_whoever_started_the_process_has_had_ignored_stays_ignored() -> None:
    command = [
        "sh",
        "-c",
        "trap '' HUP; exec \"$@\"",
        "sh",
        sys.executable,
        "-c",
        END,
        str(int(signal.SIGHUP)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "went on\n")


def test_a_signal_in_the_middle_of_a_write_to_the_same_stream_is_a_request_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Busy(io.StringIO):
        def write(self, _: str) -> int:
            raise RuntimeError("reentrant call inside <_io.BufferedWriter name=2>")

    request = StopRequest(says="finishing the step")
    monkeypatch.setattr(sys, "stderr", Busy())
    request.ask(signal.SIGINT, None)
    assert request.is_asked()
    assert capfd.readouterr().err == "finishing the step\n"
