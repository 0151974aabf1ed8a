# SPDX-License-Identifier: Apache-2.0
"""Publisher: who is told what, in which order, and what a fault leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from gateway.control import publisher as module
from gateway.control.peer import PeerGone
from gateway.control.publisher import OperationFailed, Publisher
from gateway.wire.generation import Generation, Place, read_generation, write_generation
from gateway.wire.orders import Commit, Keep, Order, Prepare, Settle, Start
from gateway.wire.runtime import config_copy

LOG: list[str] = []


class Paper:
    """A peer on paper: it writes down what it is asked and answers what the test says."""

    all: dict[str, Paper] = {}  # noqa: RUF012 - the test's own, emptied for each

    def __init__(self, name: str, path: Path, *, greet: Callable[[Paper], Awaitable[None]]) -> None:
        self.name = name
        self.path = path
        self.greet = greet
        self.up = True
        self.faults: dict[str, tuple[str, ...]] = {}
        self.hold: dict[str, asyncio.Event] = {}
        self.orders: list[Order] = []
        self.all[name] = self

    async def run(self) -> None:
        """Nothing until cancelled."""
        await asyncio.get_running_loop().create_future()

    async def came_up(self) -> None:
        """At once, if it is there."""
        if not self.up:
            await asyncio.get_running_loop().create_future()

    async def ask(self, make: Callable[[int], Order]) -> tuple[str, ...]:
        """Answer as scripted."""
        order = make(len(LOG))
        kind = type(order).__name__
        if not self.up:
            raise PeerGone(f"{self.name} is not there")
        LOG.append(f"{kind} {self.name}")
        self.orders.append(order)
        if kind in self.hold:
            await self.hold[kind].wait()
        await asyncio.sleep(0)
        return self.faults.get(kind, ())


def generation(number: int, *workers: int) -> Generation:
    """The model m with these workers."""
    places = tuple(Place("m", each, 0, "1", "f", "r") for each in workers)
    return Generation(number, f"config-{number}.yaml", places)


class Bench:
    """A publisher that runs over peers on paper."""

    def __init__(self, runtime: Path, first: Generation) -> None:
        self.runtime = runtime
        write_generation(runtime, first)
        self.publisher = Publisher(first, runtime=runtime, gateways=2)
        self.supervisor = Paper.all["supervisor"]
        self.gateways = [Paper.all["gateway-0"], Paper.all["gateway-1"]]

    def kept(self) -> list[tuple[str, ...]]:
        """The names of every order to keep workers."""
        return [order.names for order in self.supervisor.orders if isinstance(order, Keep)]


@pytest.fixture(name="bench")
async def fixture_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """Workers m-0 and m-1 are in effect, and what was before is tidied up."""
    monkeypatch.setattr(module, "Peer", Paper)
    Paper.all = {}
    LOG.clear()
    bench = Bench(tmp_path, generation(1, 0, 1))
    running = asyncio.ensure_future(bench.publisher.run())
    await turns()
    yield bench
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def turns() -> None:
    """Let everything go on that can."""
    for _ in range(30):
        await asyncio.sleep(0)


async def test_begins_by_ending_what_nobody_asks_for(bench: Bench) -> None:
    """A predecessor may have died in the middle of a change."""
    assert LOG == ["Settle gateway-0", "Settle gateway-1", "Keep supervisor"]
    assert bench.kept() == [("m-0", "m-1")]


async def test_each_step_waits_for_the_one_before(bench: Bench) -> None:
    """Start, prepare everywhere, write down, commit everywhere, settle, end."""
    LOG.clear()
    written: list[int] = []
    for gateway in bench.gateways:
        gateway.hold["Commit"] = asyncio.Event()
    task = asyncio.ensure_future(bench.publisher.publish(generation(2, 1, 2)))
    await turns()
    written.append(read_generation(bench.runtime).number)
    for gateway in bench.gateways:
        gateway.hold["Commit"].set()
    await task
    await turns()
    assert LOG == [
        "Start supervisor",
        "Prepare gateway-0",
        "Prepare gateway-1",
        "Commit gateway-0",
        "Commit gateway-1",
        "Settle gateway-0",
        "Settle gateway-1",
        "Keep supervisor",
    ]
    assert written == [2]
    assert bench.kept()[-1] == ("m-1", "m-2")
    assert bench.publisher.taken == {"m-1", "m-2"}


async def test_without_new_workers_nothing_is_started(bench: Bench) -> None:
    """The supervisor is not asked."""
    LOG.clear()
    await bench.publisher.publish(generation(2, 0, 1))
    assert "Start supervisor" not in LOG


async def test_a_worker_that_fails_leaves_all_as_it_was(bench: Bench) -> None:
    """No gateway hears of it, and what did start is ended."""
    LOG.clear()
    bench.supervisor.faults["Start"] = ("m-2: no such file",)
    with pytest.raises(OperationFailed, match="m-2: no such file"):
        await bench.publisher.publish(generation(2, 0, 1, 2, 3))
    assert bench.publisher.taken == {"m-0", "m-1", "m-2", "m-3"}
    await turns()
    assert LOG[:2] == ["Start supervisor", "Settle gateway-0"]
    assert bench.kept()[-1] == ("m-0", "m-1")
    assert bench.publisher.taken == {"m-0", "m-1"}
    assert read_generation(bench.runtime).number == bench.publisher.generation.number == 1


async def test_a_gateway_that_finds_a_fault_stops_all(bench: Bench) -> None:
    """All forget what they have prepared; a fault that both found is told once."""
    LOG.clear()
    for gateway in bench.gateways:
        gateway.faults["Prepare"] = ("models.m: steps do not fit",)
    with pytest.raises(OperationFailed) as caught:
        await bench.publisher.publish(generation(2, 0, 1, 2))
    assert caught.value.faults == ["models.m: steps do not fit"]
    assert [each for each in LOG if each.startswith(("Abort", "Commit"))] == [
        "Abort gateway-0",
        "Abort gateway-1",
    ]
    assert read_generation(bench.runtime).number == 1
    await turns()
    assert bench.kept()[-1] == ("m-0", "m-1")


async def test_a_gateway_that_does_not_answer_is_a_fault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen one must not hold up everything that comes later."""
    bench.gateways[1].hold["Prepare"] = asyncio.Event()
    ask = bench.publisher._ask
    monkeypatch.setattr(
        bench.publisher, "_ask", lambda peer, make, patience: ask(peer, make, patience and 0.001)
    )
    with pytest.raises(OperationFailed, match=r"gateway-1 does not answer within 0\.001 s"):
        await bench.publisher.publish(generation(2, 0, 1))


async def test_a_gateway_that_is_not_there_does_not_stop_a_change(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins with what is written down, or is told when it comes."""
    monkeypatch.setattr(module, "PATIENCE", 0.001)
    gone = bench.gateways[0]
    gone.up = False
    await bench.publisher.publish(generation(2, 0, 1))
    assert read_generation(bench.runtime).number == 2
    gone.up = True
    await gone.greet(gone)
    last = gone.orders[-1]
    assert isinstance(last, Commit)
    assert last.generation.number == 2


async def test_a_change_waits_until_the_past_is_tidied_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of the past may have the name of a new one."""
    monkeypatch.setattr(module, "Peer", Paper)
    monkeypatch.setattr(module, "PATIENCE", 0.001)
    Paper.all = {}
    LOG.clear()
    bench = Bench(tmp_path, generation(1, 0))
    bench.supervisor.hold["Keep"] = asyncio.Event()
    running = asyncio.ensure_future(bench.publisher.run())
    with pytest.raises(OperationFailed, match="the supervisor does not answer"):
        await bench.publisher.publish(generation(2, 1))
    assert "Start supervisor" not in LOG
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_tidying_spares_workers_that_are_being_started(bench: Bench) -> None:
    """One change begins while another one is tidied up behind."""
    bench.gateways[0].hold["Settle"] = asyncio.Event()
    await bench.publisher.publish(generation(2, 0))
    await turns()
    bench.supervisor.hold["Start"] = asyncio.Event()
    task = asyncio.ensure_future(bench.publisher.publish(generation(3, 0, 5)))
    await turns()
    bench.gateways[0].hold["Settle"].set()
    await turns()
    assert bench.kept()[-1] == ("m-0", "m-5")
    bench.supervisor.hold["Start"].set()
    await task


async def test_a_supervisor_that_went_away_is_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tidying is not forgotten."""
    monkeypatch.setattr(module, "_AGAIN", 0.0)
    bench.supervisor.up = False
    await bench.publisher.publish(generation(2, 0))
    await turns()
    assert bench.publisher.fading == {"m-1"}
    bench.supervisor.up = True
    await turns()
    assert bench.kept()[-1] == ("m-0",)
    assert bench.publisher.fading == set()


async def test_copies_of_former_configurations_are_removed(bench: Bench) -> None:
    """All but the last one: a gateway that is just starting may be about to read it."""
    for number in range(1, 5):
        config_copy(bench.runtime, number).write_text("x")
    now = generation(1, 0, 1)
    bench.publisher.generation = msgspec.structs.replace(
        now, config=str(config_copy(bench.runtime, 1))
    )
    for number in (2, 3):
        wanted = generation(number, 0, 1)
        await bench.publisher.publish(
            msgspec.structs.replace(wanted, config=str(config_copy(bench.runtime, number)))
        )
        await turns()
    assert sorted(path.name for path in bench.runtime.glob("config-*")) == [
        "config-2.yaml",
        "config-3.yaml",
        "config-4.yaml",
    ]


async def test_orders_carry_the_generation(bench: Bench) -> None:
    """The same one to all."""
    wanted = generation(2, 0, 1, 2)
    await bench.publisher.publish(wanted)
    orders = [*bench.supervisor.orders, *bench.gateways[0].orders, *bench.gateways[1].orders]
    told = [each.generation for each in orders if isinstance(each, Start | Prepare | Commit)]
    assert told == [wanted] * 5
    assert any(isinstance(each, Settle) for each in orders)
