# SPDX-License-Identifier: Apache-2.0
"""Shares: equal rows for all who wait, no credit for those who did not."""

from __future__ import annotations

from gateway.stages.shares import Shares


def served(shares: Shares, tenants: list[str], rounds: int) -> list[str]:
    """Who is served, one row at a time, while all of *tenants* wait."""
    order = []
    for _ in range(rounds):
        tenant = min(tenants, key=shares.of)
        shares.serve(tenant, 1)
        order.append(tenant)
    return order


def test_all_who_wait_take_turns() -> None:
    """Row for row."""
    shares = Shares()
    for tenant in ("a", "b"):
        shares.start(tenant)
    assert sorted(served(shares, ["a", "b"], 10)) == ["a"] * 5 + ["b"] * 5


def test_large_requests_count_by_their_rows() -> None:
    """Who sends batches of ten gets every tenth turn beside who sends single rows."""
    shares = Shares()
    shares.start("bulk")
    shares.start("single")
    shares.serve("bulk", 10)
    assert served(shares, ["bulk", "single"], 10) == ["single"] * 10


def test_absence_saves_nothing_up() -> None:
    """Who comes late does not have all the rows due that others were served meanwhile."""
    shares = Shares()
    shares.start("early")
    served(shares, ["early"], 100)
    shares.start("late")
    assert served(shares, ["early", "late"], 10).count("late") <= 6


def test_a_short_absence_forgives_nothing() -> None:
    """Who was served much and comes back at once waits for the others to catch up."""
    shares = Shares()
    shares.start("a")
    shares.start("b")
    shares.serve("a", 50)
    shares.start("a")
    assert served(shares, ["a", "b"], 20) == ["b"] * 20


def test_memory_is_bounded() -> None:
    """However many names there are."""
    shares = Shares()
    for number in range(5000):
        shares.start(f"t{number}")
        shares.serve(f"t{number}", 1)
    assert int(repr(shares).split()[1]) <= 1025
