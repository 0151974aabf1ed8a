# SPDX-License-Identifier: Apache-2.0
"""Cases are chosen by name or family, and every contender is first once."""

import pytest

from benchmarks.plan import choose, rotated


def test_a_family_names_all_its_cases() -> None:
    """`digits` is the digits model at every number of connections."""
    assert choose(["digits"]) == ["digits-1", "digits-32", "digits-128"]


def test_a_case_is_chosen_once() -> None:
    """Naming a case beside its family measures it no second time."""
    assert choose(["images-8", "images", "startup"]) == ["images-8", "startup"]


def test_nothing_named_is_everything_but_the_soak() -> None:
    """A million requests are only sent when asked for."""
    assert choose([]) == ["digits-1", "digits-32", "digits-128", "images-8", "startup"]


def test_an_unknown_case_is_refused_with_the_known_ones() -> None:
    """A typing error does not measure nothing in silence."""
    with pytest.raises(ValueError, match="no case 'digit'; known are digits-1, digits-32"):
        choose(["digit"])


def test_the_order_moves_on_from_round_to_round() -> None:
    """Everybody is in every round, and nobody always first."""
    names = ["a", "b", "c"]
    assert [rotated(names, number) for number in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]
    assert rotated([], 5) == []
