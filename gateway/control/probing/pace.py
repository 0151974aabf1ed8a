# SPDX-License-Identifier: Apache-2.0
"""Pace: all rows of a set asked one request after the other, never more than a share of time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

from gateway.control.probing.ask import Crowded, NoAnswer
from gateway.errors import BadAnswer
from gateway.wire.rows import join
from gateway.wire.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from gateway.control.probing.ask import Answered

# Seconds: between two looks whether clients still wait, how long a path may be kept waiting by
# them, and the longest pause behind a request, however long that took.
_LOOK: Final = 0.25
PATIENCE: Final = 60.0
_LONGEST: Final = 10.0


class Asks(Protocol):
    """A path that can be asked."""

    def ask(self, inputs: tuple[Tensor, ...]) -> Awaitable[Answered]:
        """The answer to *inputs*; raises NoAnswer."""
        ...


@dataclass(slots=True)
class Answers:
    """The *outputs* of all rows, the endpoint of each row, and how many came from the cache."""

    outputs: tuple[Tensor, ...]
    endpoints: list[str] = field(default_factory=list)
    cached: int = 0

    @property
    def rows(self) -> int:
        """How many rows were answered."""
        return len(self.endpoints)


class Pace:
    """Asks so that a request is under way in *share* of the time, and none while *busy* says so.

    *busy* is whether clients wait for this model.
    """

    def __init__(
        self,
        share: float,
        *,
        busy: Callable[[], bool],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._share = share
        self._busy = busy
        self._sleep = sleep
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Pace {self._share:.0%}>"

    async def ask_all(
        self, path: Asks, requests: Iterable[tuple[int, tuple[Tensor, ...]]], *, bare: bool = False
    ) -> Answers:
        """The answers to *requests*, which are rows and inputs; raises NoAnswer.

        *bare*: each is one row, without the dimension of rows, which is put in front here.
        """
        parts: list[tuple[Tensor, ...]] = []
        sizes: list[int] = []
        answers = Answers(())
        patience = self._clock() + PATIENCE
        for rows, inputs in requests:
            answered = await self._one(path, inputs, patience)
            outputs = answered.outputs
            if bare:
                outputs = tuple([_rowed(tensor) for tensor in outputs])
            parts.append(outputs)
            sizes.append(rows)
            answers.endpoints += [answered.endpoint] * rows
            answers.cached += rows * answered.cached
        if not parts:
            raise NoAnswer("there is no whole request among its rows")
        try:
            answers.outputs = join(parts, sizes)
        except BadAnswer as error:
            raise NoAnswer(str(error)) from None
        return answers

    async def _one(self, path: Asks, inputs: tuple[Tensor, ...], patience: float) -> Answered:
        while True:
            while self._busy():
                self._wait_or_stop(patience, "clients wait for this model")
                await self._sleep(_LOOK)
            started = self._clock()
            try:
                answered = await path.ask(inputs)
            except Crowded as error:
                self._wait_or_stop(patience, str(error))
                await self._sleep(_LOOK)
                continue
            taken = self._clock() - started
            await self._sleep(min(_LONGEST, taken * (1 / self._share - 1)))
            return answered

    def _wait_or_stop(self, patience: float, why: str) -> None:
        if self._clock() >= patience:
            raise NoAnswer(f"there was no capacity to spare for {PATIENCE:g} s: {why}")


def _rowed(tensor: Tensor) -> Tensor:
    return Tensor(tensor.name, tensor.datatype, (1, *tensor.shape), tensor.data)
