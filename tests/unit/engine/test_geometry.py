import pytest

from hrdet_cli.engine.geometry import Scale, Size


def test_a_size_is_written_width_first_as_people_do() -> None:
    assert str(Size(height=480, width=640)) == "640x480"


def test_a_square_is_not_portrait() -> None:
    assert not Size(5, 5).is_portrait
    assert Size(height=6, width=5).is_portrait


def test_a_size_contains_another_only_without_turning_it() -> None:
    assert Size(10, 20).contains(Size(10, 20))
    assert not Size(10, 20).contains(Size(20, 10))


def test_a_scale_turns_with_the_picture() -> None:
    assert Scale(1333, 800).turned(portrait=True) == Size(height=1333, width=800)
    assert Scale(1333, 800).turned(portrait=False) == Size(height=800, width=1333)


@pytest.mark.parametrize(("long", "short"), [(800, 1333), (0, 0), (10, -1)])
def test_a_scale_with_its_edges_exchanged_is_refused(long: int, short: int) -> None:
    with pytest.raises(ValueError, match=r"a scale is \(long, short\) with 1 <= short <= long"):
        Scale(long, short)
