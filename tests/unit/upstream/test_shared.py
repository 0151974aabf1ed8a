# SPDX-License-Identifier: Apache-2.0
"""SharedEndpoint: the load of all processes, the cap for each."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import Ejection
from gateway.upstream.outstanding import Column, Outstanding, create
from gateway.upstream.shared import SharedEndpoint
from tests.support.upstream import Fleet, ScriptedPeer, request, settle


class Pair:
    """One endpoint as each of *processes* gateway processes has it."""

    def __init__(self, path: Path, *, cap: int, processes: int = 2) -> None:
        create(path, processes)
        self.fleets = []
        self.tables = []
        for index in range(processes):
            table = Outstanding(path, index)
            column = table.column("m\0e")
            assert column is not None
            fleet, peer = Fleet(0), ScriptedPeer()
            fleet.peers.append(peer)
            endpoint = SharedEndpoint(
                "e", peer.attach, fleet.pool, ejection=Ejection(clock=fleet.clock),
                cap=cap, column=column, processes=processes,
            )  # fmt: skip
            fleet.pool.add([endpoint])
            peer.comes_up()
            self.fleets.append(fleet)
            self.tables.append(table)

    @property
    def endpoints(self) -> list[Endpoint]:
        """The endpoint in each process."""
        return [fleet.pool.endpoints[0] for fleet in self.fleets]


@pytest.fixture(name="path")
def fixture_path(tmp_path: Path) -> Path:
    """Where the counts are."""
    return tmp_path / "outstanding"


async def test_what_is_sent_is_seen_elsewhere_until_it_is_answered(path: Path) -> None:
    """Requests and rows."""
    pair = Pair(path, cap=4)
    one, other = pair.endpoints
    assert other.elsewhere is not None
    task = pair.fleets[0].ask(request(1.0, 2.0, 3.0))
    await settle()
    assert (one.pending, one.pending_rows, other.elsewhere()) == (1, 3, (1, 3))
    pair.fleets[0].waiting[0].respond()
    await task
    assert (one.pending, one.pending_rows, other.elsewhere()) == (0, 0, (0, 0))


async def test_a_cap_is_shared(path: Path) -> None:
    """Each has its part, and may borrow what the others leave."""
    one, other = Pair(path, cap=4).endpoints
    assert (one.cap, other.cap) == (4, 4)
    one.pending = 3
    assert (one.cap, other.cap) == (4, 2)
    other.pending = 2
    assert (one.cap, other.cap) == (2, 2)
    one.pending = 0
    assert (one.cap, other.cap) == (2, 4)


async def test_nobody_waits_for_a_slot_that_another_frees(path: Path) -> None:
    """However much the others have, one request of each is always allowed."""
    endpoints = Pair(path, cap=2, processes=4).endpoints
    for endpoint in endpoints[1:]:
        endpoint.pending = 5
    assert endpoints[0].cap == 1


async def test_a_full_endpoint_is_full_for_all(path: Path) -> None:
    """What one process has sent takes slots from the queue of the other."""
    pair = Pair(path, cap=4)
    one, other = pair.endpoints
    one.pending = 2
    assert pair.fleets[1].pool.capacity() == (2, 1)
    other.pending = 2
    assert pair.fleets[1].pool.capacity() == (0, 0)
    assert pair.fleets[1].pool.pick() is None


async def test_an_endpoint_that_is_gone_lets_go_of_its_column(path: Path) -> None:
    """And of what it had pending."""
    pair = Pair(path, cap=4)
    pair.endpoints[0].pending = 3
    seen = pair.endpoints[1].elsewhere
    assert seen is not None
    assert seen() == (3, 0)
    del pair.fleets[0]
    gc.collect()
    assert seen() == (0, 0)


class Crowd:
    """Two endpoints, *cap* each, as one process has them, and the columns of another process."""

    def __init__(self, path: Path, *, cap: int = 4) -> None:
        create(path, 2)
        tables = [Outstanding(path, index) for index in range(2)]
        self.fleet = Fleet(0)
        self.there: list[Column] = []
        for name in ("e0", "e1"):
            here, there = (table.column(name) for table in tables)
            assert here is not None
            assert there is not None
            self.there.append(there)
            peer = ScriptedPeer()
            self.fleet.peers.append(peer)
            endpoint = SharedEndpoint(
                name, peer.attach, self.fleet.pool, ejection=Ejection(clock=self.fleet.clock),
                cap=cap, column=here, processes=2,
            )  # fmt: skip
            self.fleet.pool.add([endpoint])
            peer.comes_up()

    def picked(self, avoid: tuple[str, ...] = ()) -> set[str]:
        """The names that are picked over some tries."""
        chosen = [self.fleet.pool.pick(avoid) for _ in range(60)]
        return {endpoint.name for endpoint in chosen if endpoint is not None}


async def test_the_least_loaded_of_all_processes_is_picked(path: Path) -> None:
    """Whoever sent the load."""
    crowd = Crowd(path)
    assert crowd.picked() == {"e0", "e1"}
    crowd.there[0].set_rows(3)
    assert crowd.picked() == {"e1"}
    crowd.fleet.pool.endpoints[1].pending_rows = 4
    assert crowd.picked() == {"e0"}


async def test_what_others_have_filled_is_not_picked(path: Path) -> None:
    """Until our own part of it is free, which it is as long as we have sent nothing."""
    crowd = Crowd(path)
    crowd.there[0].set_requests(2)
    first = crowd.fleet.pool.endpoints[0]
    first.pending = 2
    assert crowd.picked() == {"e1"}
    assert crowd.fleet.pool.capacity() == (4, 1)
    first.pending = 1
    assert crowd.picked() == {"e0", "e1"}


async def test_avoids_and_falls_back_as_ever(path: Path) -> None:
    """What failed a request is taken again only if nothing else is healthy."""
    crowd = Crowd(path)
    assert crowd.picked(("e0",)) == {"e1"}
    crowd.fleet.peers[1].goes_down()
    assert crowd.picked(("e0",)) == {"e0"}
    crowd.fleet.peers[0].goes_down()
    assert crowd.picked() == set()


async def test_a_panic_looks_at_all_processes_too(path: Path) -> None:
    """Ejected endpoints are used, full ones are not."""
    crowd = Crowd(path, cap=2)
    crowd.fleet.pool.endpoints[0].ejection.eject()
    crowd.fleet.peers[1].goes_down()
    assert crowd.fleet.pool.panicking
    assert crowd.picked() == {"e0"}
    crowd.there[0].set_requests(1)
    crowd.fleet.pool.endpoints[0].pending = 1
    assert crowd.picked() == set()


async def test_an_endpoint_is_busy_when_anybody_keeps_it_so(path: Path) -> None:
    """A race would only slow down who is there first."""
    crowd = Crowd(path)
    first, second = crowd.fleet.pool.endpoints
    crowd.there[0].set_requests(1)
    second.pending = 0
    assert (first.busy, second.busy) == (True, False)
    second.pending = 1
    assert second.busy
