# SPDX-License-Identifier: Apache-2.0
"""Tiers: who takes how much when endpoints are missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.tiers import shares, suffice


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        ({0: (4, 4), 1: (4, 4)}, {0: 1.0}),
        ({0: (3, 4), 1: (4, 4)}, {0: 1.0}),
        ({0: (2, 4), 1: (4, 4)}, {0: 0.7, 1: 0.3}),
        ({0: (0, 4), 1: (4, 4)}, {1: 1.0}),
        ({0: (1, 4), 1: (1, 4)}, {0: 0.5, 1: 0.5}),
        ({0: (1, 4), 1: (1, 4), 2: (1, 1)}, {0: 0.35, 1: 0.35, 2: 0.3}),
        ({5: (1, 2), 9: (1, 1)}, {5: 0.7, 9: 0.3}),
        ({0: (0, 4)}, {}),
    ],
)
def test_the_next_tier_takes_what_the_ones_before_cannot_bear(
    available: dict[int, tuple[int, int]], expected: dict[int, float]
) -> None:
    """A tier bears 1.4 times what is available of it."""
    assert shares(available) == pytest.approx(expected)


COUNTS = st.integers(1, 9).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count)))


@given(st.dictionaries(st.integers(0, 15), COUNTS, min_size=1))
def test_shares_add_up(available: dict[int, tuple[int, int]]) -> None:
    """All of the load goes somewhere, and nothing where nobody is available."""
    found = shares(available)
    if any(healthy for healthy, _ in available.values()):
        assert sum(found.values()) == pytest.approx(1)
    assert all(available[tier][0] for tier in found)


def test_enough_is_seen_over_all_tiers() -> None:
    """Half of two tiers bears 1.4 times the load."""
    assert suffice({0: (1, 2), 1: (1, 2)})
    assert not suffice({0: (1, 2)})
