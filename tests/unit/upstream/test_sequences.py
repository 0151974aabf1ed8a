# SPDX-License-Identifier: Apache-2.0
"""Sequences: each stays where it began."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gateway.upstream.endpoint import Endpoint
from gateway.upstream.sequences import Sequences
from tests.support.upstream import Fleet, request, settle


def place(fleet: Fleet, id_: str | int, **more: Any) -> str | None:
    """The name of the endpoint that a request of the sequence gets."""
    endpoint = fleet.pool.place(request(parameters={"sequence_id": id_, **more}))
    return None if endpoint is None else endpoint.name


def busy(fleet: Fleet, name: str | None) -> Endpoint:
    """The endpoint *name*."""
    (found,) = [each for each in fleet.pool.endpoints if each.name == name]
    return found


async def test_a_sequence_stays_where_it_began() -> None:
    """Though its endpoint is full and others are idle: what it knows is there alone."""
    fleet = Fleet(4)
    home = place(fleet, 7)
    busy(fleet, home).pending += 50
    assert {place(fleet, 7) for _ in range(20)} == {home}


async def test_sequences_are_spread() -> None:
    """By their ids."""
    fleet = Fleet(4)
    counts = Counter(place(fleet, id_) for id_ in range(2000))
    assert all(400 < count < 600 for count in counts.values())


async def test_processes_agree_where_a_sequence_begins() -> None:
    """The next request may come by another connection, and so to another process."""
    one, other = Fleet(4), Fleet(4)
    assert [place(one, f"s{n}") for n in range(50)] == [place(other, f"s{n}") for n in range(50)]


async def test_a_new_endpoint_moves_no_sequence() -> None:
    """Where its id would belong now is of no concern."""
    fleet = Fleet(4, up=False)
    for peer in fleet.peers[:2]:
        peer.comes_up()
    before = [place(fleet, id_) for id_ in range(50)]
    for peer in fleet.peers[2:]:
        peer.comes_up()
    assert [place(fleet, id_) for id_ in range(50)] == before
    assert {place(fleet, id_) for id_ in range(50, 150)} == {"e0", "e1", "e2", "e3"}


async def test_an_ejection_moves_no_sequence_but_begins_none_there() -> None:
    """A worker that fails others may still answer it, and nobody else can."""
    fleet = Fleet(3)
    home = place(fleet, 7)
    busy(fleet, home).ejection.eject()
    assert place(fleet, 7) == home
    assert home not in {place(fleet, id_) for id_ in range(100, 200)}


async def test_a_dead_endpoint_loses_its_sequences() -> None:
    """The next request begins anew elsewhere and stays there."""
    fleet = Fleet(3)
    home = place(fleet, 7)
    peer = fleet.peers[fleet.pool.endpoints.index(busy(fleet, home))]
    peer.goes_down()
    other = place(fleet, 7)
    assert other not in {home, None}
    peer.comes_up("2")
    assert place(fleet, 7) == other


async def test_a_new_life_behind_an_address_knows_nothing() -> None:
    """Even where the sequence goes there again, it is as a new one; a reconnect changes nothing."""
    fleet = Fleet(2)
    home = place(fleet, 7)
    peer = fleet.peers[fleet.pool.endpoints.index(busy(fleet, home))]
    peer.goes_down()
    peer.comes_up("1")
    assert fleet.pool._sequences._places[int, 7] == (home, "1")
    peer.goes_down()
    peer.comes_up("2")
    assert place(fleet, 7) == home
    assert fleet.pool._sequences._places[int, 7] == (home, "2")


async def test_a_draining_endpoint_loses_its_sequences() -> None:
    """It refuses them."""
    fleet = Fleet(2)
    home = place(fleet, 7)
    busy(fleet, home).drains()
    assert place(fleet, 7) not in {home, None}


async def test_none_where_nobody_is_there() -> None:
    """Waiting is the queue's task."""
    assert place(Fleet(2, up=False), 7) is None


async def test_an_ended_sequence_is_forgotten() -> None:
    """And so is the one that was quiet longest, where there are too many."""
    fleet = Fleet(2)
    fleet.pool._sequences = Sequences(kept=2)
    for id_ in (1, 2, 1, 3):
        place(fleet, id_)
    assert [id_ for _, id_ in fleet.pool._sequences._places] == [1, 3]
    place(fleet, 1, sequence_end=True)
    assert [id_ for _, id_ in fleet.pool._sequences._places] == [3]


async def test_ids_of_two_types_are_two_sequences() -> None:
    """1 and "1" may be two clients."""
    fleet = Fleet(2)
    place(fleet, 1)
    place(fleet, "1")
    assert len(fleet.pool._sequences._places) == 2


async def test_the_stack_keeps_a_sequence_together() -> None:
    """Steps that are sent one after the other reach one peer."""
    fleet = Fleet(4)
    for _ in range(10):
        task = fleet.ask(request(parameters={"sequence_id": "s"}))
        while not fleet.waiting:
            await settle()
        fleet.waiting[0].respond()
        await task
    assert sorted(len(peer.sent) for peer in fleet.peers) == [0, 0, 0, 10]
