from typing import Any

import pytest

from hrdet_cli.engine.data.annotation_values import AREA, BOX, EDGE, FLAG, ID, Kind


@pytest.mark.parametrize(
    ("kind", "value", "number"),
    [
        (ID, "12", 12),
        (ID, " 0012 ", 12),
        (ID, "-3", -3),
        (ID, 12.0, 12),
        (ID, "12.0", 12),
        (ID, 2018000000001.0, 2018000000001),
        (EDGE, "640", 640),
        (EDGE, 640.0, 640),
        (FLAG, "0", 0),
        (FLAG, 1.0, 1),
        (FLAG, "False", 0),
        (FLAG, "true", 1),
        (AREA, "12.5", 12.5),
        (AREA, "1e3", 1000.0),
        (BOX, ["1", "2.5", 3, "4"], [1, 2.5, 3, 4]),
        (BOX, "[1, 2.5, 3, 4]", [1, 2.5, 3, 4]),
        (BOX, [[1, 2, "3", 4]], [1, 2, 3, 4]),
        (BOX, {"height": 4, "x": 1, "y": 2, "width": "3"}, [1, 2, 3, 4]),
        (BOX, {"left": 1, "top": 2, "width": 3, "height": 4}, [1, 2, 3, 4]),
    ],
)
def test_a_number_that_is_only_written_in_another_way_is_that_number(
    kind: Kind, value: Any, number: Any
) -> None:
    assert not kind.is_valid(value)
    mended = kind.mend(value)
    assert kind.is_valid(mended)
    assert mended == number
    assert type(mended) is type(number)


_NO_IDS: list[Any] = ["", "a", "1_000", "1,5", "12.5", 12.5, "nan", "inf", True, None, [1]]
_NO_IDS += [1e300, 2.0**53, float("nan"), "9" * 30, "\u0663", "0x10", "1e400"]
_NO_EDGES: list[Any] = ["0", -5.0, "1e9", True]
_NO_FLAGS: list[Any] = ["2", "yes", 0.5, None]
_NO_AREAS: list[Any] = ["-1", "nan", True, []]
_NO_BOXES: list[Any] = ["[1, 2, 3]", "1, 2, 3, 4", [1, 2, 3, "x"], [1, 2, 3, True], "[", {}, [1, 2, 3, "inf"]]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((ID, value) for value in _NO_IDS),
        *((EDGE, value) for value in _NO_EDGES),
        *((FLAG, value) for value in _NO_FLAGS),
        *((AREA, value) for value in _NO_AREAS),
        *((BOX, value) for value in _NO_BOXES),
    ],
)
def test_what_is_no_number_for_sure_is_not_mended(kind: Kind, value: Any) -> None:
    assert not kind.is_valid(kind.mend(value))
