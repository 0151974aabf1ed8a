# SPDX-License-Identifier: Apache-2.0
"""Truth: one class, however it is written."""

from __future__ import annotations

import pytest

from gateway.quality.truth import Truth

NUMBERS = Truth("classification", ("0", "1", "2"))
NAMES = Truth("classification", ("benign", "malignant"))
ODD = Truth("classification", ("3", "5", "8"))
SET = Truth("multilabel", ("red", "green", "blue"))
VALUE = Truth("regression")


@pytest.mark.parametrize("value", ["1", 1, 1.0, True, "1.0", " 1 ", "true", "True"])
def test_one_class_is_written_in_many_ways(value: object) -> None:
    """As a number, as text, as a decision; and where classes have names, by its place."""
    assert NUMBERS.read(value) == 1
    assert NAMES.read(value) == 1


def test_names_go_before_places() -> None:
    """Where classes are called by numbers, a number is a name."""
    assert ODD.read(5) == 1
    assert ODD.read("8") == 2
    assert NAMES.read("malignant") == 1
    assert Truth("classification", ("true", "false")).read(value=True) == 0
    with pytest.raises(ValueError, match=r"'1' is no class .* '3', '5', '8'"):
        ODD.read(1)


@pytest.mark.parametrize(
    "value", ["cat", 3, -1, 1.5, None, [1], {"a": 1}, float("nan"), "nan", "1_0", ""]
)
def test_what_is_no_class_is_refused(value: object) -> None:
    """Rather than counted as one that nobody meant."""
    with pytest.raises(ValueError, match="expected"):
        NUMBERS.read(value)


def test_a_set_of_labels_is_bits() -> None:
    """By names or places, in any order, none of them too."""
    assert SET.read(["blue", "red"]) == 0b101
    assert SET.read(["red", 0, "red"]) == 0b001
    assert SET.read([]) == 0
    assert SET.read("green") == 0b010
    with pytest.raises(ValueError, match="'pink'"):
        SET.read(["red", "pink"])


def test_a_number_is_finite() -> None:
    """Text from a table is read as one."""
    assert VALUE.read("2.5") == VALUE.read(2.5) == 2.5
    assert VALUE.read(3) == 3.0
    for value in ("nan", float("inf"), True, "x", None, [1.0]):
        with pytest.raises(ValueError, match="expected"):
            VALUE.read(value)
