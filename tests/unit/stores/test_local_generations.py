# SPDX-License-Identifier: Apache-2.0
"""LocalGenerations: whose number changes with which purge."""

from __future__ import annotations

import pytest

from gateway.stores.local_generations import LocalGenerations

EVERYTHING = [(model, tenant) for model in ("m", "n") for tenant in ("", "a", "b")]


@pytest.mark.parametrize(
    ("purged", "changed"),
    [
        ({}, EVERYTHING),
        ({"model": "m"}, [("m", ""), ("m", "a"), ("m", "b")]),
        ({"tenant": "a"}, [("m", "a"), ("n", "a")]),
        ({"model": "n", "tenant": "b"}, [("n", "b")]),
    ],
)
def test_a_purge_changes_what_it_names_alone(
    purged: dict[str, str], changed: list[tuple[str, str]]
) -> None:
    """And twice is another change."""
    generations = LocalGenerations()
    for _ in range(2):
        before = {each: generations.of(*each) for each in EVERYTHING}
        generations.purge(**purged)
        assert [each for each in EVERYTHING if generations.of(*each) != before[each]] == changed


def test_whoever_wants_to_know_is_told() -> None:
    """Behind the change."""
    generations = LocalGenerations()
    seen: list[int] = []
    generations.subscribe(lambda: seen.append(generations.of("m")))
    generations.purge("m")
    generations.purge()
    assert seen == [1, 2]
