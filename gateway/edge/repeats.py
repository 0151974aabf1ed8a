# SPDX-License-Identifier: Apache-2.0
"""Repeats: requests that were answered from the cache, by all of their bytes."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

from gateway.edge.ids import new_id
from gateway.edge.respond import again, aged_lines, fixed_lines

if TYPE_CHECKING:
    from gateway.exchange import Answer, Exchange, Repeat

# Longer requests are not remembered: what is saved is about the same for each of them.
LONGEST: Final = 16 << 10
# Bytes of requests and answers that are remembered, the oldest given up first.
MOST: Final = 16 << 20
# What one takes besides. Measured with tracemalloc.
_OVERHEAD: Final = 700


class Repeated:
    """What one request is answered with again: the *repeat*, and the lines that stay the same."""

    __slots__ = ("_aged", "_lead", "_repeat", "_tail", "_until", "size")

    def __init__(self, repeat: Repeat, lead: str, tail: str, size: int) -> None:
        self._repeat = repeat
        self._lead = lead
        self._tail = tail
        # The lines that tell of its age, in whole seconds, and until when they are true.
        self._aged = ""
        self._until = 0.0
        self.size = size

    def __repr__(self) -> str:
        return f"<Repeated {self._repeat!r}>"

    def answer(self) -> bytes | None:
        """The whole response, or None where the stages must be asked."""
        arrived = perf_counter()
        repeat = self._repeat
        if not repeat.find(arrived):
            return None
        now = perf_counter()
        lookup = now - arrived
        repeat.given(lookup)
        if arrived >= self._until:
            self._age(arrived)
        return (
            again(self._lead, self._aged, self._tail, id_=new_id(), lookup=lookup, now=now)
            + repeat.body
        )

    def _age(self, now: float) -> None:
        left, age = self._repeat.left, self._repeat.age
        self._aged = aged_lines(left, age)
        self._until = now + min(left % 1, 1 - age % 1)


class Repeats:
    """Remembers at most *most* bytes of requests with their answers, in *known*."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._bytes = 0
        self.known: dict[bytes, Repeated] = {}

    def __repr__(self) -> str:
        return f"<Repeats {len(self.known)} remembered, {self._bytes}/{self._most} bytes>"

    def remember(self, raw: bytes, exchange: Exchange, answer: Answer) -> None:
        """*answer* was the one to *exchange*, which says if *raw* may be answered so again."""
        repeat = exchange.repeat
        # With an id in the body it would be answered under one of ours.
        own = exchange.request_id is exchange.inference_id
        if repeat is None or not own or len(raw) > LONGEST:
            return
        self.forget(raw)
        lead, tail = fixed_lines(exchange, answer)
        size = len(raw) + len(lead) + len(tail) + len(answer.body) + _OVERHEAD
        self.known[raw] = Repeated(repeat, lead, tail, size)
        self._bytes += size
        while self._bytes > self._most:
            self.forget(next(iter(self.known)))

    def forget(self, raw: bytes) -> None:
        """The stages are to be asked what is sent as *raw*."""
        known = self.known.pop(raw, None)
        if known is not None:
            self._bytes -= known.size
