# SPDX-License-Identifier: Apache-2.0
"""Clients of a soak: most ask plainly, some in a hurry, some wrongly, and some leave."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from itertools import count
from random import Random
from typing import Final

from tests.support.http import Client, Response, connect, request
from tests.support.trial import INFER, question, rows_of
from tests.support.v2 import body, tensor

# How each asks, and how often in a hundred.
HABITS: Final = {"plain": 90, "hurried": 3, "wrong": 2, "leaver": 3, "half": 2}
# What a request that is in a hurry may be told instead of its answer.
LATE: Final = {503, 504}
# Failures kept word for word.
KEPT: Final = 20


class Clients:
    """So many *clients* of the model m at *http*, each with one connection at a time.

    *outcomes* counts ``ok``, ``late`` (for who was in a hurry), ``bad`` (for who asked wrongly),
    ``left``, and ``unexplained``, of which the first are kept in words.
    """

    def __init__(self, http: str, *, clients: int, seed: int) -> None:
        self._port = int(http.rpartition(":")[2])
        self._clients = clients
        self._seed = seed
        # FP32 has each number below this one.
        self._numbers = count(1)
        self.stopped = asyncio.Event()
        self.outcomes: Counter[str] = Counter()
        self.unexplained: list[str] = []

    async def run(self) -> None:
        """Ask until `stopped` is set."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._clients):
                group.create_task(self._client(Random(self._seed * 1000 + number)))

    async def reaches(self, more: int) -> None:
        """Wait until *more* requests have ended."""
        goal = self.outcomes.total() + more
        while self.outcomes.total() < goal:  # noqa: ASYNC110 - a count per request is enough
            await asyncio.sleep(0.01)

    async def _client(self, rng: Random) -> None:
        while not self.stopped.is_set():
            try:
                async with connect(self._port) as client:
                    stays = True
                    while stays and not self.stopped.is_set():
                        stays = await self._ask(client, rng)
            except (OSError, EOFError, TimeoutError) as error:
                self._note(f"{type(error).__name__}: {error}")

    async def _ask(self, client: Client, rng: Random) -> bool:
        """One request; gives whether the connection is of further use."""
        number = next(self._numbers) % (1 << 24)
        rows = rng.randint(1, 4)
        (habit,) = rng.choices(list(HABITS), list(HABITS.values()))
        if habit == "wrong":
            data = body(tensor(name="nothing"))
            return self._judge(habit, await client.ask("POST", INFER, data), number, rows)
        data = question(number, rows)
        if habit in {"plain", "hurried"}:
            hurry = {"X-Request-Timeout-Ms": str(rng.randint(1, 30))} if habit == "hurried" else {}
            response = await client.ask("POST", INFER, data, hurry)
            return self._judge(habit, response, number, rows)
        whole = request("POST", INFER, data)
        await client.send(whole[: len(whole) // 2] if habit == "half" else whole)
        await asyncio.sleep(rng.random() * 0.01)
        self.outcomes["left" if habit == "leaver" else "half"] += 1
        return False

    def _judge(self, habit: str, response: Response, number: int, rows: int) -> bool:
        if response.status == 200 and habit != "wrong":
            (output,) = json.loads(response.body)["outputs"]
            expected = [value for row in rows_of(number, rows) for value in row]
            if (output["shape"], output["data"]) == ([rows, 2], expected):
                self.outcomes["ok"] += 1
            else:
                self._note(f"answer to {number}: {response!r}")
        elif habit == "wrong" and response.status == 400:
            self.outcomes["bad"] += 1
        elif habit == "hurried" and response.status in LATE:
            self.outcomes["late"] += 1
        else:
            self._note(f"{habit} request {number}: {response!r}")
        return response.header("connection") != "close"

    def _note(self, what: str) -> None:
        self.outcomes["unexplained"] += 1
        if len(self.unexplained) < KEPT:
            self.unexplained.append(what)
