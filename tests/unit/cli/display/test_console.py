"""What is printed into files and pipes."""

import io
import sys

import pytest

from hrdet_cli.cli.display.console import file_console, plain_table, stdout_console

TABLE = plain_table()
TABLE.add_column("class")
TABLE.add_column("AP", justify="right")
TABLE.add_column("note")
TABLE.add_row("cat", "0.5", "few")
TABLE.add_row("a long name", "0.25", "")
LINES = "class          AP  note\ncat           0.5  few\na long name  0.25\n"


def test_tables_in_a_file_have_no_spaces_at_the_ends_of_lines() -> None:
    file = io.StringIO()
    console = file_console(file)
    console.print(TABLE)
    console.print("  indented  ", end="")
    console.print()
    assert file.getvalue() == f"{LINES}  indented  \n"


def test_nor_have_those_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert not sys.stdout.isatty()
    stdout_console().print(TABLE)
    assert capsys.readouterr().out == LINES
