import shlex
from pathlib import Path

import pytest

from hrdet_cli.wording import command, counted, first_and_count, first_few, is_showable, shortened


def test_a_list_that_is_short_enough_is_shown_whole() -> None:
    assert first_few(["a", "b"], 2) == first_and_count(["a", "b"], 2) == "a, b"


def test_of_a_long_list_the_first_are_shown_and_that_there_are_more() -> None:
    assert first_few([1, 2, 3, 4], 2) == "1, 2, ..."
    assert first_and_count([1, 2, 3, 4], 2) == "1, 2 and 2 more"


def test_one_thing_is_in_the_singular_and_thousands_are_set_apart() -> None:
    assert counted(1, "picture") == "1 picture"
    assert counted(0, "picture") == "0 pictures"
    assert counted(2000, "entry", "entries") == "2,000 entries"


def test_a_long_text_loses_its_middle_and_no_more_than_it_must() -> None:
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghijk", 10) == "abcd...ijk"
    assert all(len(shortened("x" * 100, most)) == most for most in range(5, 60))


def test_a_printed_command_is_read_by_a_shell_as_the_words_it_was_made_of() -> None:
    words: list[str | Path] = ["hrdet", "check-data", Path("my data/it's.json"), "--set", "a={b: 1}"]
    assert shlex.split(command(*words)) == [str(word) for word in words]
    assert command("hrdet", "eval", Path("runs/mine")) == "hrdet eval runs/mine"


@pytest.mark.parametrize("text", ["Grüne Katze", "a\u00a0b", "\u3000", "क\u200d्ष", "👩\u200d🔬", "猫"])
def test_texts_of_all_languages_can_be_shown(text: str) -> None:
    assert is_showable(text)


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "\x85", "\u202egnp.exe", "\u2028", "\ud800x", "\udfff"])
def test_what_moves_a_terminal_or_is_no_text_cannot_be_shown(text: str) -> None:
    assert not is_showable(text)
