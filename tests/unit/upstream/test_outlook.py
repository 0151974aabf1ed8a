# SPDX-License-Identifier: Apache-2.0
"""Outlook: panic, tiers, and loads of which other processes have a part."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.upstream.outlook import Seen
from tests.support.upstream import Fleet


def eject(fleet: Fleet, *indices: int) -> None:
    """Take endpoints out, as failures would."""
    for index in indices:
        fleet.pool.endpoints[index].ejection.eject()


def down(fleet: Fleet, *indices: int) -> None:
    """Take connections away."""
    for index in indices:
        fleet.peers[index].goes_down()


def picked(fleet: Fleet, *, times: int = 80) -> set[str]:
    """The names that are picked over *times* tries."""
    chosen = [fleet.pool.pick() for _ in range(times)]
    return {endpoint.name for endpoint in chosen if endpoint is not None}


async def test_ejections_are_ignored_when_too_few_are_left() -> None:
    """One of four is below half: those that are ejected help, those without connection cannot."""
    fleet = Fleet(4)
    eject(fleet, 0)
    assert (fleet.pool.panicking, picked(fleet)) == (False, {"e1", "e2", "e3"})
    down(fleet, 1)
    assert (fleet.pool.panicking, picked(fleet)) == (False, {"e2", "e3"})
    down(fleet, 2)
    assert (fleet.pool.panicking, picked(fleet)) == (True, {"e0", "e3"})
    assert fleet.pool.capacity() == (2, 2)
    fleet.peers[2].comes_up()
    assert (fleet.pool.panicking, picked(fleet)) == (False, {"e2", "e3"})


async def test_the_last_that_is_connected_is_used_though_it_is_ejected() -> None:
    """The pool is ready, has room, and picks it."""
    fleet = Fleet(2)
    eject(fleet, 0)
    down(fleet, 1)
    assert fleet.pool.ready
    assert fleet.pool.capacity() == (1, 1)
    assert picked(fleet) == {"e0"}


async def test_wrong_answers_are_not_asked_for_in_a_panic() -> None:
    """An endpoint that fails may get better; one whose answers are wrong is the last resort."""
    fleet = Fleet(4)
    fleet.pool.endpoints[0].found(wrong=True)
    assert picked(fleet) == {"e1", "e2", "e3"}
    eject(fleet, 1)
    down(fleet, 2)
    assert (fleet.pool.panicking, picked(fleet)) == (True, {"e1", "e3"})
    down(fleet, 1, 3)
    assert fleet.pool.ready
    assert picked(fleet) == {"e0"}
    fleet.peers[3].comes_up()
    assert picked(fleet) == {"e3"}


async def test_a_wrong_endpoint_is_ejected_until_it_is_right() -> None:
    """Counted once, with its reason; its connection and a new life change nothing."""
    fleet = Fleet(2)
    endpoint = fleet.pool.endpoints[0]
    for _ in range(2):
        endpoint.found(wrong=True)
    assert (endpoint.state, endpoint.healthy) == ("ejected", False)
    assert fleet.telemetry.ejections.cell("e0", "quality").value == 1
    assert not fleet.pool.may_eject(fleet.pool.endpoints[1])
    fleet.peers[0].comes_up("another life")
    assert endpoint.state == "ejected"
    endpoint.found(wrong=False)
    assert (endpoint.state, endpoint.healthy) == ("ready", True)


async def test_a_full_endpoint_is_full_in_a_panic_too() -> None:
    """Its cap is no opinion about its health."""
    fleet = Fleet(2)
    eject(fleet, 0)
    down(fleet, 1)
    fleet.pool.endpoints[0].pending += 1
    assert fleet.pool.pick() is None
    assert fleet.pool.capacity() == (0, 0)


async def test_drained_and_unborn_endpoints_cause_no_panic() -> None:
    """Two that were never there and one that an operator took out: all that remain are fine."""
    fleet = Fleet(5, up=False)
    for peer in fleet.peers[:3]:
        peer.comes_up()
    fleet.pool.endpoints[0].drains()
    eject(fleet, 1)
    assert not fleet.pool.panicking
    assert picked(fleet) == {"e2"}


async def test_a_panic_can_be_switched_off() -> None:
    """With a threshold of 0 there is none."""
    fleet = Fleet(2)
    fleet.pool._panic_threshold = 0.0
    eject(fleet, 0)
    down(fleet, 1)
    assert not fleet.pool.panicking
    assert fleet.pool.pick() is None
    assert not fleet.pool.ready


def tiered(*tiers: int, weights: tuple[float, ...] = ()) -> Fleet:
    """A fleet with an endpoint in each of *tiers*."""
    fleet = Fleet(len(tiers), cap=1000, weights=weights)
    for endpoint, tier in zip(fleet.pool.endpoints, tiers, strict=True):
        endpoint.tier = tier
    fleet.pool.look()
    return fleet


def pile(fleet: Fleet, count: int) -> Counter[int]:
    """Rows by tier after *count* requests that stay."""
    rows: Counter[int] = Counter()
    for _ in range(count):
        endpoint = fleet.pool.pick()
        assert endpoint is not None
        endpoint.pending += 1
        endpoint.pending_rows += 1
        rows[endpoint.tier] += 1
    return rows


async def test_the_first_tier_takes_all_while_it_is_well() -> None:
    """The others wait, whatever their weight."""
    fleet = tiered(0, 0, 0, 0, 1, 1, weights=(1, 1, 1, 1, 9, 9))
    assert pile(fleet, 100) == {0: 100}
    assert fleet.pool.capacity()[1] == 4
    down(fleet, 0)
    assert pile(fleet, 100) == {0: 100}


async def test_the_next_tier_takes_what_the_first_cannot_bear() -> None:
    """Of four two are left: they take 70 %, spread by weight in each tier."""
    fleet = tiered(0, 0, 0, 0, 1, 1, weights=(1, 1, 1, 3, 1, 1))
    down(fleet, 0, 1)
    assert pile(fleet, 1000) == {0: pytest.approx(700, abs=5), 1: pytest.approx(300, abs=5)}
    rows = [endpoint.pending_rows for endpoint in fleet.pool.endpoints]
    assert rows[3] == pytest.approx(3 * rows[2], abs=8)
    assert rows[4] == pytest.approx(rows[5], abs=2)


async def test_the_next_tier_takes_all_when_the_first_is_gone() -> None:
    """And gives it back."""
    fleet = tiered(0, 0, 1)
    down(fleet, 0, 1)
    assert pile(fleet, 10) == {1: 10}
    assert not fleet.pool.panicking
    fleet.peers[0].comes_up()
    fleet.peers[1].comes_up()
    assert pile(fleet, 10) == {0: 10}


async def test_a_healthy_tier_saves_the_ejected_of_another() -> None:
    """Where the load can be borne there is no panic, however few of all are available."""
    fleet = tiered(0, 0, 0, 1)
    down(fleet, 0, 1)
    eject(fleet, 2)
    assert not fleet.pool.panicking
    assert pile(fleet, 10) == {1: 10}


async def test_what_failed_a_request_is_avoided_among_tiers() -> None:
    """Unless nothing else is left of those that get any load."""
    fleet = tiered(0, 0, 1)
    one = fleet.pool.pick(("e0",))
    assert one is not None
    assert one.name == "e1"
    other = fleet.pool.pick(("e0", "e1"))
    assert other is not None
    assert other.tier == 0


async def test_what_other_processes_have_pending_counts() -> None:
    """A policy sees the sum."""
    (busy,) = Fleet(1, cap=10).pool.endpoints
    busy.pending, busy.pending_rows = 1, 2
    busy.elsewhere = lambda: (2, 7)
    seen = Seen(busy, 3.0)
    assert (seen.pending, seen.pending_rows, seen.weight, seen.name) == (3, 9, 3.0, "e0")
