import os
import signal

import pytest

from hrdet_cli.cli.stopping import stop_request


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
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


def test_a_launcher_may_repeat_a_signal() -> None:
    with stop_request(says=None) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.exit_code == 143


def test_signals_are_the_terminals_again_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_request(says=None):
        pass
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
