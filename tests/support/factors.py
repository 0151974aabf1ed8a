# SPDX-License-Identifier: Apache-2.0
"""Factors: models that multiply, each by a number of its own, and clients that check every answer.

The digest in an answer says which model file made it, so whatever it says must be that file's.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.support import models
from tests.support.load import Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


class Repository:
    """Models under *directory*; knows version and factor behind every digest."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.known: dict[str, tuple[str, float]] = {}

    def add(self, model: str, version: int, factor: float) -> str:
        """Put version *version* of *model* there; gives its digest as answers have it."""
        # Made beside and moved, as a careful operator does: whoever looks sees all or nothing.
        draft = models.save(models.times(factor), self.directory / "draft", version=str(version))
        path = self.directory / model / str(version)
        path.parent.mkdir(parents=True, exist_ok=True)
        (draft / str(version)).rename(path)
        digest = hashlib.sha256((path / "model.onnx").read_bytes()).hexdigest()[:16]
        self.known[digest] = (str(version), factor)
        return digest

    def path(self, model: str) -> Path:
        """The directory of *model*."""
        return self.directory / model


class Asking:
    """*clients* that ask models at *http*, each answer checked against *repository*.

    *model* gives the name that the next request goes to. *digests* counts answers by model file,
    *endpoints* by who computed them.
    """

    def __init__(
        self,
        http: str,
        repository: Repository,
        *,
        model: Callable[[], str] = lambda: "m",
        clients: int = 8,
    ) -> None:
        self._host, _, port = http.rpartition(":")
        self._port = int(port)
        self._repository = repository
        self._model = model
        self._clients = clients
        self.stopped = asyncio.Event()
        self.outcome = Outcome()
        self.digests: Counter[str] = Counter()
        self.endpoints: Counter[str] = Counter()
        self._answer = asyncio.Condition()

    async def run(self) -> None:
        """Send until `stopped` is set."""
        async with asyncio.TaskGroup() as group:
            for client in range(self._clients):
                group.create_task(self._client(client))

    async def goes_on(self, answers: int = 100) -> None:
        """Wait until so many more requests have been answered."""
        async with self._answer:
            until = self.outcome.answered + answers
            await self._answer.wait_for(lambda: self.outcome.answered >= until)

    async def _client(self, number: int) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        at = number
        try:
            while not self.stopped.is_set():
                at = (at + self._clients) % 1000
                await self._ask(reader, writer, at, self._model())
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self.outcome.broken.append(repr(error))
        finally:
            writer.close()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, value: int, model: str
    ) -> None:
        body = json.dumps({
            "inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [value]}]
        }).encode()  # fmt: skip
        writer.write(
            b"POST /v2/models/%b/infer HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%b"
            % (model.encode(), len(body), body)
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
        answer = await reader.readexactly(int(headers["content-length"]))
        status = int(head.split(" ", 2)[1])
        self.outcome.statuses[status] += 1
        if status == 200:
            digest = headers["infergate-model-digest"]
            self.digests[digest] += 1
            # An answer from the cache names nobody.
            self.endpoints[headers.get("infergate-backend", "")] += 1
            if not self._is_right(digest, value, json.loads(answer)):
                self.outcome.wrong += 1
                self.outcome.errors.append(f"{digest} {value} {answer.decode()}")
        else:
            self.outcome.errors.append(answer.decode())
        async with self._answer:
            self._answer.notify_all()

    def _is_right(self, digest: str, value: int, answer: dict[str, Any]) -> bool:
        version, factor = self._repository.known[digest]
        (got,) = answer["outputs"][0]["data"]
        return bool(
            answer["model_version"] == version
            and np.float32(got) == np.float32(value) * np.float32(factor)
        )


@asynccontextmanager
async def asked(asking: Asking) -> AsyncIterator[Asking]:
    """Have *asking* run meanwhile, from its first answers on."""
    async with asyncio.TaskGroup() as group:
        group.create_task(asking.run())
        try:
            await asking.goes_on()
            yield asking
            await asking.goes_on()
        finally:
            asking.stopped.set()
