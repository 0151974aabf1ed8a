# SPDX-License-Identifier: Apache-2.0
"""Slices: values of headers and parameters, never more than are wanted."""

from __future__ import annotations

from gateway.sampling.slices import MOST, NONE, OTHER, Slices, Tag

REGION = Tag("region", header="x-region", values=frozenset({"eu", "us"}))
KIND = Tag("kind", parameter="kind", most=2)


def values(slices: Slices, headers: dict[str, str], **parameters: object) -> dict[str, str]:
    """What a request with these is told apart by."""
    return slices.listed[slices.place(headers, parameters or None)]


def test_without_tags_there_is_one_place() -> None:
    """It is 0, that of requests that nobody asked about."""
    slices = Slices()
    assert slices.place({"x": "y"}, {"z": 1}) == 0
    assert slices.listed == [{}]


def test_header_and_parameter_are_told_apart() -> None:
    """Each under the name of its tag; numbers and truth values as text."""
    slices = Slices([REGION, KIND])
    assert values(slices, {"x-region": "eu"}, kind=7) == {"region": "eu", "kind": "7"}
    assert values(slices, {"x-region": "us"}, kind=True) == {"region": "us", "kind": "True"}


def test_equal_values_share_a_place() -> None:
    """However often they come."""
    slices = Slices([REGION])
    places = {slices.place({"x-region": "eu"}, None) for _ in range(3)}
    assert len(places) == 1
    assert len(slices.listed) == 2


def test_a_missing_value_is_named() -> None:
    """So is an empty one."""
    slices = Slices([REGION, KIND])
    assert values(slices, {}) == {"region": NONE, "kind": NONE}
    assert values(slices, {"x-region": ""}, kind="") == {"region": NONE, "kind": NONE}


def test_a_value_that_is_not_listed_is_another() -> None:
    """Clients cannot make series up."""
    slices = Slices([REGION])
    assert values(slices, {"x-region": "mars"}) == {"region": OTHER}


def test_only_the_first_values_are_told_apart_where_none_are_listed() -> None:
    """As many as are wanted; those stay told apart."""
    slices = Slices([KIND])
    found = [values(slices, {}, kind=kind)["kind"] for kind in ("a", "b", "c", "a", "\n", "b")]
    assert found == ["a", "b", OTHER, "a", OTHER, "b"]


def test_combinations_are_bounded() -> None:
    """Beyond the bound all of it is one."""
    tags = [Tag(name, header=name, most=1000) for name in "ab"]
    slices = Slices(tags)
    places = [
        slices.place({"a": str(number % 900), "b": str(number // 5)}, None)
        for number in range(MOST + 50)
    ]
    assert len(slices.listed) <= MOST + 1
    assert slices.listed[places[-1]] == {"a": OTHER, "b": OTHER}
