# SPDX-License-Identifier: Apache-2.0
"""Repeats: what the lane answers again by itself, and when it asks."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from gateway.edge.repeats import LONGEST, Repeats
from gateway.exchange import JSON_ALONE, Answer, Counted, Exchange
from gateway.stages.gate import Gate
from gateway.telemetry.cells import SumCell
from gateway.wire.message import NEVER
from tests.support.lane import Scene, post


class ScriptedRepeat:
    """A repeat that holds until it is told otherwise."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.holds = True
        self.left, self.age = 41.9, 7.9
        self.counted: list[float] = []
        self.requests: Counted = SumCell()
        self.seconds: Callable[[float], None] = self.counted.append
        self.found = self.times = 0

    def find(self, now: float) -> bool:
        """As told."""
        assert now > 0
        self.found += 1
        return self.holds

    def given(self, lookup: float) -> None:
        """Count."""
        self.times += 1
        self.counted.append(lookup)


class Cached:
    """A service whose answers may all be given again, and whose hits look as they do."""

    def __init__(self) -> None:
        self.seen: list[Exchange] = []
        self.repeats: list[ScriptedRepeat] = []

    async def __call__(self, exchange: Exchange) -> Answer:
        """The body, as a hit."""
        self.seen.append(exchange)
        body = b"<" + bytes(exchange.body) + b">"
        exchange.trace.digest = "d" * 64
        exchange.trace.cache = "hit; ttl=41"
        exchange.trace.age = 7.9
        exchange.trace.lookup = 1e-6
        if exchange.repeatable:
            self.repeats.append(ScriptedRepeat(body))
            exchange.repeat = self.repeats[-1]
        return Answer(200, body, JSON_ALONE)


class Hits(Scene):
    """One connection before `Cached`."""

    def __init__(self, gate: Gate | None = None) -> None:
        super().__init__(gate=gate)
        self.cached = Cached()
        self.lane.service = self.cached
        self.connection = self.lane()
        self.wire.protocol = self.connection
        self.connection.connection_made(self.wire)

    def ask(self, raw: bytes) -> bytes:
        """What is written for *raw*."""
        start = len(self.wire.written)
        self.feed(raw)
        return self.wire.written[start:]


def alike(answer: bytes) -> bytes:
    """*answer* without what differs each time."""
    answer = re.sub(rb"[0-9a-f-]{36}", b"ID", answer)
    return re.sub(rb"dur=[0-9.]+|Date: [^\r]+", b"", answer)


def test_the_same_bytes_get_the_same_answer_without_the_service() -> None:
    """Line for line, under an id of its own."""
    scene = Hits()
    first, second, third = (scene.ask(post(b"x")) for _ in range(3))
    assert alike(first) == alike(second) == alike(third)
    ids = {re.findall(rb"X-Inference-Id: (\S+)", answer)[0] for answer in (first, second, third)}
    assert len(ids) == 3
    assert len(scene.cached.seen) == 1
    (repeat,) = scene.cached.repeats
    assert repeat.times == len(repeat.counted) == 2


def test_other_bytes_are_another_request() -> None:
    """Another body, another head, another model."""
    scene = Hits()
    for raw in (
        post(b"x"),
        post(b"y"),
        post(b"x", "A: b"),
        post(b"x", target="/v2/models/n/infer"),
    ):
        scene.ask(raw)
    assert len(scene.cached.seen) == 4


def test_what_holds_no_more_is_asked_for() -> None:
    """And the new answer is the one to be given again."""
    scene = Hits()
    scene.ask(post(b"x"))
    scene.cached.repeats[0].holds = False
    scene.ask(post(b"x"))
    scene.ask(post(b"x"))
    assert len(scene.cached.seen) == 2
    assert [repeat.times for repeat in scene.cached.repeats] == [0, 1]


@pytest.mark.parametrize("line", ["X-Request-Id: mine", "Cache-Control: max-age=5"])
def test_an_id_or_a_rule_is_for_the_stages(line: str) -> None:
    """Whoever sends one wants more than what is there."""
    scene = Hits()
    for _ in range(3):
        scene.ask(post(b"x", line))
    assert len(scene.cached.seen) == 3


def test_a_client_that_leaves_is_let_go() -> None:
    """``Connection: close`` ends a connection behind its answer, each time."""
    scene = Hits()
    scene.ask(post(b"x", "Connection: close"))
    assert scene.wire.closing
    assert scene.lane.repeats.known == {}


def test_an_id_in_the_body_is_for_the_codec() -> None:
    """It is the inference's, and stands in a header."""
    scene = Hits()
    asked = scene.cached

    async def named(exchange: Exchange) -> Answer:
        exchange.inference_id = "mine"
        return await asked(exchange)

    scene.lane.service = named
    scene.connection = scene.lane()
    scene.wire.protocol = scene.connection
    scene.connection.connection_made(scene.wire)
    for _ in range(3):
        assert b"X-Inference-Id: mine\r\n" in scene.ask(post(b"x"))
    assert len(asked.seen) == 3


def test_who_may_not_enter_is_judged_by_the_stages() -> None:
    """While the process drains, and from then on."""
    gate = Gate()
    scene = Hits(gate)
    scene.ask(post(b"x"))
    gate.drain()
    assert b"Connection: close\r\n" in scene.ask(post(b"x"))
    assert len(scene.cached.seen) == 2
    assert scene.cached.repeats[0].found == 0


def test_a_connection_with_nothing_but_repeats_is_idle_between_them() -> None:
    """Or it would be taken for one that does not send its first head."""
    scene = Hits()
    scene.ask(post(b"x"))
    other = scene.lane()
    scene.wire.protocol = other
    other.connection_made(scene.wire)
    scene.feed(post(b"x"))
    assert len(scene.cached.seen) == 1
    assert (other.awaits, other.since) == ("idle", NEVER)
    assert other.quiet


def test_a_request_in_pieces_takes_the_usual_way() -> None:
    """And so does one behind it that came along."""
    scene = Hits()
    raw = post(b"x")
    scene.ask(raw)
    scene.ask(raw[:20])
    assert scene.ask(raw[20:]).endswith(b"<x>")
    assert scene.ask(raw + raw).count(b"<x>") == 2
    assert len(scene.cached.seen) == 4


def test_long_requests_are_not_remembered() -> None:
    """What is saved is the same, what is kept is not."""
    scene = Hits()
    for size in (LONGEST, LONGEST // 2):
        for _ in range(2):
            scene.ask(post(b"x" * size))
    assert len(scene.cached.seen) == 3


def test_what_is_remembered_is_bounded() -> None:
    """The oldest goes first."""
    repeats = Repeats(most=4000)
    scene = Hits()
    scene.lane.repeats = repeats
    scene.connection = scene.lane()
    scene.wire.protocol = scene.connection
    scene.connection.connection_made(scene.wire)
    for number in range(20):
        scene.ask(post(b"%04d" % number))
    kept = sorted(int(raw[-4:]) for raw in repeats.known)
    assert kept == list(range(20 - len(kept), 20))
    assert 2 <= len(kept) <= 5
    for raw in list(repeats.known):
        repeats.forget(raw)
    assert repr(repeats) == "<Repeats 0 remembered, 0/4000 bytes>"
