# SPDX-License-Identifier: Apache-2.0
"""Reports: what flips, and what does not, says which part is at fault."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.quality.probes.golden import Change
from gateway.quality.probes.report import Series, outcome_of, sentence_of

GOOD = Change(10)
BAD = Change(10, flipped=2, first=(3, 5))
MOVED = Change(10, moved=1, first=(4,))


def direct(name: str, change: Change | None = GOOD, **more: Any) -> Series:
    """An endpoint's."""
    return Series(path="direct", endpoint=name, rows=10, change=change, **more)


def through(path: str, change: Change | None = GOOD, **more: Any) -> Series:
    """One of the data port."""
    return Series(path=path, rows=10, change=change, **more)


@pytest.mark.parametrize(
    ("series", "outcome", "part"),
    [
        ([direct("a"), through("uncached")], "same", "All 10 rows of m are answered as before"),
        ([direct("a", None)], "first", "First round of this model file: its answers to 10 rows"),
        ([direct("a"), direct("b", BAD)], "wrong", "b gives other answers than before (2 of 10"),
        ([direct("a", BAD), direct("b", BAD)], "wrong", "All endpoints of m answer otherwise"),
        (
            [direct("a"), direct("b", MOVED, stranger=True, digest="f" * 64)],
            "wrong",
            "b has another model file than it should have (digest ffffffffffffffff)",
        ),
        (
            [direct("a"), direct("b", stranger=True)],
            "same",
            "b has another model file, with the same answers. All 10 rows",
        ),
        ([direct("a", MOVED)], "moved", "a gives numbers that are further off than floats are"),
        (
            [direct("a"), through("uncached"), through("cached", BAD)],
            "wrong",
            "The cache of m gives answers that the model does not give (2 of 10 rows flipped",
        ),
        (
            [direct("a"), through("uncached", BAD), through("cached", BAD)],
            "wrong",
            "the steps before or behind the model have changed, or a request went to another model",
        ),
        ([through("uncached", BAD)], "wrong", "Through the gateway m answers otherwise"),
        (
            [direct("a"), direct("b", None, error="gone")],
            "same",
            "b was not asked: gone.",
        ),
        ([direct("a", None, error="gone")], "failed", "a was not asked: gone."),
        (
            [direct("a", Change(10, fault="there is no output 'y' any more"))],
            "wrong",
            "(there is no output 'y' any more)",
        ),
    ],
)
def test_series_say_together_what_is_at_fault(
    series: list[Series], outcome: str, part: str
) -> None:
    """In one word and in words."""
    assert outcome_of(series) == outcome
    assert part in sentence_of("m", series)


def test_what_a_wrong_endpoint_gave_is_not_blamed_on_the_gateway() -> None:
    """Clients got it from there; what others gave is another fault."""
    bad = direct("b", BAD)
    explained = [direct("a"), bad, through("uncached", BAD, by={"b": 2})]
    assert "gateway" not in sentence_of("m", explained)
    other = [direct("a"), bad, through("uncached", BAD, by={"a": 1, "b": 1})]
    assert "its endpoints alone do not explain that" in sentence_of("m", other)


def test_where_nothing_says_who_is_right_it_is_said() -> None:
    """And nobody is called wrong."""
    series = [direct("a", None), direct("b", None)]
    assert outcome_of(series, undecided=True) == "undecided"
    assert "nothing says yet which is right" in sentence_of("m", series, undecided=True)
