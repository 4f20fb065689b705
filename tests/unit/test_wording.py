from hrdet_cli.wording import first_and_count, first_few


def test_a_list_that_is_short_enough_is_shown_whole() -> None:
    assert first_few(["a", "b"], 2) == first_and_count(["a", "b"], 2) == "a, b"


def test_of_a_long_list_the_first_are_shown_and_that_there_are_more() -> None:
    assert first_few([1, 2, 3, 4], 2) == "1, 2, ..."
    assert first_and_count([1, 2, 3, 4], 2) == "1, 2 and 2 more"
