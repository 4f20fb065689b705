"""How errors are printed."""

from hrdet_cli.cli.failures import error_lines
from hrdet_cli.errors import DataError, SpecError


def test_what_a_terminal_would_obey_is_printed_as_its_code() -> None:
    lines = error_lines(DataError("\x1b[2J a\x07.jpg is öl\nmend it"))
    assert lines == ["\\x1b[2J a\\x07.jpg is öl", "mend it"]
    assert error_lines(SpecError(["--set a\nb=\ufeff", "c"])) == ["--set a\\nb=\\ufeff", "c"]
