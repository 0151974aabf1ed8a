# SPDX-License-Identifier: Apache-2.0
"""A hundred thousand random steps over Balance and Pool: every counter must agree at the end."""

from __future__ import annotations

from collections import Counter
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from gateway.drive import Drive, drive
from gateway.errors import (
    BadAnswer,
    ConnectionLost,
    Draining,
    InvalidRequest,
    NoReadyEndpoint,
    UpstreamError,
)
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import Ejection
from tests.support.upstream import Fleet, ScriptedPeer, Sent, request, settle

if TYPE_CHECKING:
    from gateway.wire.message import InferResponse

STEPS = 100_000
MOST = 8


class Storm:
    """Random life in one pool, with its own books kept beside the pool's."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.fleet = Fleet(0)
        self.peers: dict[str, ScriptedPeer] = {}
        self.open: dict[int, Drive[InferResponse]] = {}
        self.ends: Counter[str] = Counter()
        self.begun = 0
        self.lives = 0
        self.steps = [
            (self.add, 1), (self.come_up, 4), (self.use, 40), (self.answer, 30), (self.fail, 8),
            (self.cancel, 4), (self.die, 1), (self.drain, 1), (self.remove, 1), (self.wait, 10),
        ]  # fmt: skip

    def endpoint(self) -> Endpoint | None:
        """Any endpoint of the pool."""
        endpoints = self.fleet.pool.endpoints
        return self.rng.choice(endpoints) if endpoints else None

    def add(self) -> None:
        """A new endpoint, down."""
        if len(self.fleet.pool.endpoints) >= MOST:
            return
        self.lives += 1
        name, peer = f"e{self.lives}", ScriptedPeer()
        ejection = Ejection(clock=self.fleet.clock, consecutive=3, rng=self.rng)
        cap, weight = self.rng.randint(1, 4), self.rng.choice([0.5, 1, 2])
        pool = self.fleet.pool
        pool.add([Endpoint(name, peer.attach, pool, ejection=ejection, cap=cap, weight=weight)])
        self.peers[name] = peer

    def come_up(self) -> None:
        """A worker says hello, as a new life or as the same one again."""
        endpoint = self.endpoint()
        if endpoint is not None and not endpoint.liveness.up:
            self.peers[endpoint.name].comes_up(str(self.rng.randint(0, 1)))

    def use(self) -> None:
        """A request comes."""
        self.begun += 1
        asked = request(*[1.0] * self.rng.randint(1, 5))
        number = self.begun
        driven = drive(self.fleet.balance(asked), partial(self.done, number))
        if sum(self.ends.values()) + len(self.open) < self.begun:  # it has not ended in place
            self.open[number] = driven

    def done(self, number: int, _: InferResponse | None, error: BaseException | None) -> None:
        """A request ended."""
        self.ends["ok" if error is None else type(error).__name__] += 1
        self.open.pop(number, None)

    def waiting(self) -> list[Sent]:
        """What some peers have not answered."""
        peers = list(self.peers.values())
        self.rng.shuffle(peers)
        return [sent for peer in peers[:3] for sent in peer.sent if not sent.answer.done()]

    def answer(self) -> None:
        """A worker answers."""
        waiting = self.waiting()
        if waiting:
            self.rng.choice(waiting).respond()

    def fail(self) -> None:
        """A worker fails one request, for any reason."""
        waiting = self.waiting()
        kinds = [UpstreamError, UpstreamError, BadAnswer, InvalidRequest, Draining]
        if waiting:
            self.rng.choice(waiting).fail(self.rng.choice(kinds)("scripted"))

    def cancel(self) -> None:
        """A client leaves."""
        if self.open:
            self.open[self.rng.choice(list(self.open))].cancel()

    def die(self) -> None:
        """A worker dies with all that it has."""
        endpoint = self.endpoint()
        if endpoint is not None and endpoint.liveness.up:
            self.peers[endpoint.name].dies(lambda: ConnectionLost("scripted"))

    def drain(self) -> None:
        """A worker takes no more."""
        endpoint = self.endpoint()
        if endpoint is not None:
            endpoint.drains()

    def remove(self) -> None:
        """An idle endpoint leaves the pool."""
        endpoint = self.endpoint()
        if endpoint is not None and not endpoint.pending:
            self.fleet.pool.endpoints.remove(endpoint)
            del self.peers[endpoint.name]

    def wait(self) -> None:
        """Time passes."""
        self.fleet.clock.now += self.rng.random()
        for peer in self.peers.values():
            peer.sent = [sent for sent in peer.sent if not sent.answer.done()]
            peer._unseen.clear()

    def check(self) -> None:
        """The pool's books and ours agree."""
        endpoints = self.fleet.pool.endpoints
        unanswered = {
            name: [sent for sent in peer.sent if not sent.answer.done()]
            for name, peer in self.peers.items()
        }
        assert sum(endpoint.pending for endpoint in endpoints) == len(self.open)
        for endpoint in endpoints:
            sent = unanswered[endpoint.name]
            assert endpoint.pending == len(sent) <= endpoint.cap
            assert endpoint.pending_rows == sum(each.request.rows for each in sent)


async def test_counters_agree_after_a_hundred_thousand_random_steps() -> None:
    """Add, ready, use, answer, fail, cancel, die, drain and remove, in any order."""
    storm = Storm(20_240_229)
    actions = [step for step, _ in storm.steps]
    weights = [weight for _, weight in storm.steps]
    for number, step in enumerate(storm.rng.choices(actions, weights, k=STEPS)):
        step()
        if number % 5 == 0:
            await settle()
            storm.check()
    while storm.open:
        for peer in storm.peers.values():
            for sent in peer.sent:
                if not sent.answer.done():
                    sent.respond()
        await settle()
    storm.check()
    assert sum(storm.ends.values()) == storm.begun > STEPS / 3
    assert {"ok", "UpstreamError", "ConnectionLost", "CancelledError", "InvalidRequest"} <= set(
        storm.ends
    )
    assert storm.ends[NoReadyEndpoint.__name__] > 0
    assert storm.ends["ok"] > 10_000
    assert all(endpoint.pending == 0 for endpoint in storm.fleet.pool.endpoints)
