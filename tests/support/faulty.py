# SPDX-License-Identifier: Apache-2.0
"""A scripted worker that answers by itself, well or with a fault, and keeps a record of both.

A manner is what it does with a request; a test sets another whenever it likes.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from gateway.wire.frames import MAGIC, MAX_BODY, PREFIX, Frame, Kind
from gateway.wire.tensor import Tensor
from tests.support.scripted_worker import Connection, Received, ScriptedWorker

if TYPE_CHECKING:
    from pathlib import Path

# Bytes that begin no frame, and no protocol that anybody has heard of.
NOISE: Final = bytes(np.random.default_rng(7).integers(32, 256, 300, np.uint8))


class Manner(Protocol):
    """What a worker does with a request; its name is what the record says."""

    __name__: str

    def __call__(self, received: Received) -> object:
        """Answer *received*, or do something worse."""
        ...


class FaultyWorker(ScriptedWorker):
    """Meets each request in its present *manner*.

    *sent* counts how often each request came, by the number in its rows; *done* counts what was
    done with them, by the manner's name. *batches* has the numbers of each frame.
    """

    def __init__(
        self, directory: Path | None = None, *, manner: Manner | None = None, greets: bool = True
    ) -> None:
        super().__init__(directory, greets=greets)
        self.manner: Manner = manner or answer
        self.sent: Counter[int] = Counter()
        self.done: Counter[str] = Counter()
        self.batches: list[list[int]] = []

    def __repr__(self) -> str:
        return f"<FaultyWorker {self.address} {self.manner.__name__} {dict(self.done)}>"

    def hold(self, received: Received) -> None:
        """A manner: keep it for the test, which takes it from `requests`."""
        self.requests.put_nowait(received)

    async def restart(self, instance: str) -> None:
        """End, and begin again at the same address as another life, *instance*."""
        self.stop()
        self.instance = instance
        await self.listen()

    def _note(self, connection: Connection, received: Frame) -> None:
        if received.kind is not Kind.INFER:
            super()._note(connection, received)
            return
        asked = Received(connection, received)
        numbers = numbers_in(asked)
        self.batches.append(numbers)
        self.sent.update(set(numbers))
        self.done[self.manner.__name__] += 1
        self.manner(asked)


def numbers_in(received: Received) -> list[int]:
    """The number of each row's request."""
    return [int(number) for number in received.inputs[0].array()[:, 0]]


def output(received: Received, rows: slice = slice(None)) -> Tensor:
    """The model's answer to the *rows* of *received*: y = x."""
    return Tensor.of("y", received.inputs[0].array()[rows])


# Manners. Those of one connection's bytes leave the gateway no doubt that the worker is at fault.


def answer(received: Received) -> None:
    """Rightly."""
    received.respond(output(received), compute=100, rows=received.inputs[0].rows)


def hang(received: Received) -> None:
    """Never."""


def half_close(received: Received) -> None:
    """End the sending side, and read on."""
    received.connection.half_close()


def reset(received: Received) -> None:
    """A reset instead of an answer."""
    received.connection.reset()


def truncate(received: Received) -> None:
    """The end in the middle of the answer's frame."""
    received.connection.send(received.result(output(received))[:-5])
    received.connection.close()


def oversize(received: Received) -> None:
    """Announce more than any answer may have."""
    prefix = PREFIX.pack(MAGIC, Kind.RESULT, 0, received.id, 0, MAX_BODY + 1)
    received.connection.send(prefix)


def promise_much(received: Received) -> None:
    """Announce the most that an answer may have, and never send it."""
    received.connection.send(PREFIX.pack(MAGIC, Kind.RESULT, 0, received.id, 0, MAX_BODY))


def babble(received: Received) -> None:
    """Bytes that are no frame."""
    received.connection.send(NOISE)


def lose_a_row(received: Received) -> None:
    """All rows but the last."""
    received.respond(output(received, slice(0, -1)), compute=100)


def invent_a_row(received: Received) -> None:
    """A row too many."""
    rows = received.inputs[0].array()
    received.respond(Tensor.of("y", np.concatenate([rows, rows[-1:]])), compute=100)


def fail(received: Received) -> None:
    """An error of the worker's own."""
    received.fail("internal", "scripted burst")


def answer_another(received: Received) -> None:
    """To an id that nobody has asked with, and then rightly."""
    stray = Received.__new__(Received)
    stray.connection, stray.inputs, stray.id = received.connection, (), received.id + 1000
    stray.respond(Tensor.of("y", np.full((1, 2), -1, np.float32)))
    answer(received)


def answer_twice(received: Received) -> None:
    """Rightly, and again with other numbers."""
    answer(received)
    received.respond(Tensor.of("y", -received.inputs[0].array()))
