# SPDX-License-Identifier: Apache-2.0
"""Orders over real sockets: the control process's peer, the gateway's ear, the supervisor's ear."""

from __future__ import annotations

import asyncio
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Self

import pytest

from gateway.control.peer import Peer, PeerGone
from gateway.ear import Ear
from gateway.supervisor import ear as supervisor_ear
from gateway.supervisor.loop import _Listener
from gateway.wire.generation import Generation, Setting
from gateway.wire.orders import Abort, Commit, Keep, Order, Prepare, Settle, Start
from tests.support.generations import Stage, config, stage


async def nothing(peer: Peer) -> None:
    """No greeting."""


class Talking:
    """A peer that is connected to *path* meanwhile."""

    def __init__(self, path: Path) -> None:
        self.peer = Peer("other", path, greet=nothing)

    async def __aenter__(self) -> Peer:
        self._running = asyncio.ensure_future(self.peer.run())
        await self.peer.came_up()
        return self.peer

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)


class Listening:
    """The ear of a gateway that runs meanwhile; *committed* counts its switches."""

    def __init__(self, here: Stage, path: Path) -> None:
        self.committed = 0
        self.ear = Ear(here.gateway, path, committed=self._count)

    def _count(self) -> None:
        self.committed += 1

    async def __aenter__(self) -> Self:
        self._running = asyncio.ensure_future(self.ear.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)


@pytest.fixture(name="path")
def fixture_path(tmp_path: Path) -> Path:
    """A socket deep in a tree, too deep for a socket address."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    return deep / "x.sock"


async def test_a_gateway_prepares_and_commits(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """And commits a generation once, however often it is told."""
    async with stage(monkeypatch, config(m="")) as here, Listening(here, path) as listening:
        generation = here.to(here.config, settings={"m-0": Setting(weight=3.0)}).generation
        generation = type(generation)(2, "1", generation.places, generation.settings)
        async with Talking(path) as peer:
            assert await peer.ask(partial(Prepare, generation=generation)) == ()
            assert here.gateway.generation.number == 1
            for _ in range(2):
                assert await peer.ask(partial(Commit, generation=generation)) == ()
            assert await peer.ask(Settle) == ()
        assert here.gateway.generation == generation
        assert here.gateway.models["m"].pool.endpoints[0].weight == 3.0
        assert listening.committed == 1


async def test_a_commit_needs_no_prepare(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """A gateway that was away for the one is told the other all the same."""
    async with stage(monkeypatch, config(m="")) as here, Listening(here, path):
        first = here.gateway.generation
        async with Talking(path) as peer:
            later = type(first)(5, "1", first.places)
            assert await peer.ask(partial(Commit, generation=later)) == ()
            assert here.gateway.generation.number == 5
            older = type(first)(4, "1", ())
            assert await peer.ask(partial(Commit, generation=older)) == ()
        assert here.gateway.generation.number == 5


async def test_what_was_prepared_is_forgotten_with_its_giver(
    monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    """Its workers may be ended any moment."""
    async with stage(monkeypatch, config(m="")) as here, Listening(here, path):
        (place,) = here.gateway.generation.places
        more = (place, type(place)("m", 1, 0, "", "", place.recipe))
        generation = type(here.gateway.generation)(2, "1", more)
        pool = here.gateway.models["m"].pool
        for end in (Abort, None):
            async with Talking(path) as peer:
                assert await peer.ask(partial(Prepare, generation=generation)) == ()
                assert len(pool.held) == 1
                if end is not None:
                    assert await peer.ask(end) == ()
            while pool.held:  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0)


async def test_faults_come_back(
    monkeypatch: pytest.MonkeyPatch, path: Path, tmp_path: Path
) -> None:
    """Of a configuration that cannot be read, and of an order that is somebody else's."""
    async with stage(monkeypatch, config(m="")) as here, Listening(here, path):
        absent = tmp_path / "absent.yaml"
        generation = type(here.gateway.generation)(2, str(absent))
        async with Talking(path) as peer:
            (fault,) = await peer.ask(partial(Prepare, generation=generation))
            assert "absent.yaml: cannot be read" in fault
            assert await peer.ask(partial(Keep, names=())) == ("a gateway does not know Keep",)


async def test_nonsense_ends_the_connection_and_not_the_gateway(
    monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    """The next one is served."""
    async with (
        stage(monkeypatch, config(m="")) as here,
        Listening(here, path),
        Talking(path) as peer,
    ):
        writer = peer._writer
        assert writer is not None
        writer.write(b"\x04\x00\x00\x00junk")
        with pytest.raises(PeerGone):
            await peer.ask(Settle)
        # A peer connects again by itself.
        await asyncio.sleep(0)
        await peer.came_up()
        assert await peer.ask(Settle) == ()


async def test_a_peer_that_is_not_there_says_so_and_comes_later(
    monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    """Nobody waits for it; it is greeted when it comes."""
    greeted = asyncio.Event()

    async def greet(peer: Peer) -> None:
        assert await peer.ask(Settle) == ()
        greeted.set()

    peer = Peer("gateway-0", path, greet=greet)
    with pytest.raises(PeerGone, match="gateway-0 is not there"):
        await peer.ask(Settle)
    running = asyncio.ensure_future(peer.run())
    async with stage(monkeypatch, config(m="")) as here, Listening(here, path):
        await greeted.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_the_supervisor_answers_when_it_has_done_it(path: Path) -> None:
    """In any order, and goes on when somebody talks nonsense to it."""
    waiting: list[tuple[Order, Callable[[tuple[str, ...]], None]]] = []
    arrived = threading.Semaphore(0)
    stop, stopped = socket.socketpair()

    def obey(order: Order, answer: Callable[[tuple[str, ...]], None]) -> None:
        waiting.append((order, answer))
        arrived.release()
        if isinstance(order, Keep):
            # The latest first.
            for given, reply in reversed(waiting):
                reply(() if given is order else ("a fault",))
            waiting.clear()

    def serve() -> None:
        ear = supervisor_ear.Ear(path, obey)
        listening.set()
        with selectors.DefaultSelector() as selector, ExitStack() as stack:
            selector.register(stopped, selectors.EVENT_READ)
            selector.register(ear, selectors.EVENT_READ, _Listener(ear, selector, stack))
            while True:
                for key, _ in selector.select():
                    if key.data is None:
                        return
                    key.data.read()

    listening = threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        await asyncio.to_thread(listening.wait)
        async with Talking(path) as peer:
            start = asyncio.ensure_future(peer.ask(partial(Start, generation=Generation(1, ""))))
            await asyncio.to_thread(arrived.acquire)
            assert not start.done()
            assert await peer.ask(partial(Keep, names=("m-0",))) == ()
            assert await start == ("a fault",)
            writer = peer._writer
            assert writer is not None
            writer.write(b"\x04\x00\x00\x00junk")
            with pytest.raises(PeerGone):
                await peer.ask(partial(Start, generation=Generation(1, "")))
        waiting.clear()
        async with Talking(path) as peer:
            assert await peer.ask(partial(Keep, names=())) == ()
    finally:
        stop.close()
        thread.join()
        stopped.close()
