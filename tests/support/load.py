# SPDX-License-Identifier: Apache-2.0
"""Load: keep-alive clients that send different rows and check every answer against its row."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.support.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence


def held_out(model: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The held-out rows of *model* and their labels."""
    with np.load(ROOT / "models" / model / "test.npz") as data:
        return data["inputs"], data["labels"]


@dataclass
class Outcome:
    """What became of the requests: *statuses* by code, *wrong* answers, *broken* connections.

    A connection that ends between two requests is no failure; one that ends within one is.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    broken: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """Requests that got an answer of any kind."""
        return self.statuses.total()

    def failures(self) -> dict[str, Any]:
        """All that a client would call a failure; empty if there was none."""
        found = {
            "statuses": {status: n for status, n in self.statuses.items() if status != 200},
            "wrong": self.wrong,
            "broken": self.broken,
            "errors": self.errors[:3],
        }
        return {name: what for name, what in found.items() if what}


class Load:
    """*clients* that ask the digits model at *http* until told to stop."""

    def __init__(self, http: str, expected: Sequence[int], *, clients: int = 16) -> None:
        self._host, _, port = http.rpartition(":")
        self._port = int(port)
        rows, _ = held_out("digits")
        self._expected = expected
        self._requests = [_request(row) for row in rows]
        self._clients = clients
        self.stopped = asyncio.Event()
        self.outcome = Outcome()
        self._answer = asyncio.Event()

    async def run(self) -> Outcome:
        """Send until `stopped` is set; gives what happened."""
        async with asyncio.TaskGroup() as group:
            for client in range(self._clients):
                group.create_task(self._client(client))
        return self.outcome

    async def reaches(self, answered: int) -> None:
        """Wait until *answered* requests have got an answer; for one task at a time."""
        while self.outcome.answered < answered:
            self._answer.clear()
            await self._answer.wait()

    async def _client(self, number: int) -> None:
        at = number * 7
        while not self.stopped.is_set():
            try:
                reader, writer = await asyncio.open_connection(self._host, self._port)
            except ConnectionRefusedError:
                # Nobody listens any more: a server that was asked to end has ended.
                return
            try:
                keep = True
                while keep and not self.stopped.is_set():
                    at = (at + 1) % len(self._requests)
                    keep = await self._ask(reader, writer, at)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                self.outcome.broken.append(repr(error))
            finally:
                writer.close()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, at: int
    ) -> bool:
        writer.write(self._requests[at])
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split(" ", 2)[1])
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        body = await reader.readexactly(length)
        self.outcome.statuses[status] += 1
        self._answer.set()
        if status == 200:
            (label,) = json.loads(body)["outputs"][0]["data"]
            self.outcome.wrong += label != self._expected[at]
        else:
            self.outcome.errors.append(body.decode())
        return "connection: close" not in head.lower()


def _request(row: np.ndarray[Any, Any]) -> bytes:
    body = json.dumps({
        "inputs": [
            {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": row.tolist()}
        ]
    }).encode()  # fmt: skip
    return (
        b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: test\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
