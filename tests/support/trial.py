# SPDX-License-Identifier: Apache-2.0
"""Trial: a gateway with everything that its process has, in this process, and books about it.

Every request has a number of its own in its rows, and the model answers its rows: an answer that
went to the wrong request cannot be mistaken. At the end of a trial nothing may be left over.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.config import load
from gateway.process import GatewayProcess
from gateway.wire.generation import Generation
from gateway.wire.listen import listen
from gateway.wire.runtime import metrics_directory, state_directory
from tests.support.http import Response, connect, request
from tests.support.v2 import body, tensor

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from gateway.upstream.endpoint import Endpoint

# Nothing that a trial waits for takes this long; it turns a hang into a failure with a place.
PATIENCE: Final = 30.0
# A whole trial takes about a second; whatever its test waits for without end ends here.
TRIAL_ENDS: Final = 2 * PATIENCE
# What a retry budget allows on top, whatever the traffic: as configured by default.
RESERVE: Final = 10 * 10
INFER: Final = "/v2/models/m/infer"


@dataclass
class Reply:
    """What became of request *number*: *code* is ``ok`` or the error's."""

    number: int
    code: str
    response: Response

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.response.status


def rows_of(number: int, rows: int) -> list[list[float]]:
    """The input of request *number*, and therefore its answer."""
    return [[float(number), float(row)] for row in range(rows)]


def question(number: int, rows: int = 1) -> bytes:
    """The body of request *number*."""
    data = [value for row in rows_of(number, rows) for value in row]
    return body(tensor(shape=[rows, 2], data=data))


class Trial:
    """The gateway under trial on *port*; its clients ask through it, so that all is counted.

    *attempts* is what the configuration allows a request.
    """

    def __init__(self, process: GatewayProcess, listening: socket.socket, attempts: int) -> None:
        self.process = process
        self.gateway = process._gateway
        self.pool = self.gateway.models["m"].pool
        self.port: int = listening.getsockname()[1]
        self.attempts = attempts
        self.asked = 0
        self.codes: Counter[str] = Counter()
        self.times: Counter[int] = Counter()
        # Clients that went away: before their request was taken up, before it was answered, and
        # before they had read the answer.
        self.left_early = 0
        self.left = 0
        self.left_late = 0
        self._numbers = count(1)
        self.level: Level | None = None
        self.settled = False

    def __repr__(self) -> str:
        return f"<Trial {self.asked} asked {dict(self.codes)} {self.pool!r}>"

    def number(self) -> int:
        """The number of the next request, which is asked from now on."""
        self.asked += 1
        number = next(self._numbers)
        self.times[number] += 1
        return number

    async def ask(
        self, rows: int = 1, *, again: int = 0, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Ask on a connection of its own; an answer that is not this request's own fails.

        *again* is the number of an earlier request, to ask the very same.
        """
        number = again or self.number()
        if again:
            self.asked += 1
            self.times[again] += 1
        async with connect(self.port) as client:
            await client.send(request("POST", INFER, question(number, rows), headers))
            return self.judge(number, rows, await client.receive())

    def judge(self, number: int, rows: int, response: Response) -> Reply:
        """Enter *response* in the books."""
        code = response.header("infergate-error") or "ok"
        self.codes[code] += 1
        if response.status == 200:
            (output,) = response.json()["outputs"]
            expected = [value for row in rows_of(number, rows) for value in row]
            assert (output["shape"], output["data"]) == ([rows, 2], expected), number
        else:
            assert code != "ok", response
            assert set(response.json()) == {"error"}
        return Reply(number, code, response)

    async def ask_many(self, count: int, **options: Any) -> list[Reply]:
        """*count* requests at the same time."""
        return await asyncio.gather(*(self.ask(**options) for _ in range(count)))

    def start(self, rows: int = 1, **options: Any) -> asyncio.Task[Reply]:
        """Ask without waiting for the answer."""
        return asyncio.get_running_loop().create_task(self.ask(rows, **options))

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all series of *name*, without its prefix, that have *labels*."""
        snapshot = self.process._telemetry.take()
        (family,) = [f for f in snapshot.families if f.name == f"infergate_{name}"]
        return sum(
            numbers[0]
            for values, numbers in family.samples
            if labels.items() <= dict(zip(family.labels, values, strict=True)).items()
        )

    def endpoint(self, address: str) -> Endpoint:
        """The endpoint of the worker at *address*."""
        (found,) = [e for e in self.pool.endpoints if e.transport.address == address]
        return found

    def state(self, address: str) -> str:
        """The word for the state of the worker at *address*."""
        return self.endpoint(address).state

    @property
    def queued(self) -> float:
        """Rows that wait for a slot."""
        return self.metric("queued_rows")

    async def begins(self, *, all_up: bool) -> None:
        """Have the first request behind us, and see what a gateway takes that has no trouble."""
        assert (await self.ask()).code == "ok"
        if all_up:
            await until(lambda: self.all_ready)
            self.level = Level()

    @property
    def all_ready(self) -> bool:
        """Whether every worker may be asked."""
        return all(endpoint.state == "ready" for endpoint in self.pool.endpoints)

    async def recovers(self) -> None:
        """Every worker may be asked again, where one is due a request has been its probe."""
        async with asyncio.timeout(PATIENCE):
            while not self.all_ready:
                assert (await self.ask()).code == "ok"
        assert (await self.ask()).code == "ok"

    async def settles(self) -> None:
        """What must hold after every fault, once what made it is over; done by the trial's end."""
        self.settled = True
        await until(lambda: self.gateway.gate.inside == 0)
        await self.recovers()
        # Answers, errors and clients that left are all that was asked, on both sides.
        answered = self.codes.total() + self.left_late
        asked = answered + self.left + self.left_early
        assert asked == self.asked, f"not accounted for: {self.asked - asked} of {self}"
        counted = {
            code: self.metric("requests_total", **({"code": code} if code else {}))
            for code in ("200", "499", "")
        }
        ours = {
            "200": self.codes["ok"] + self.left_late,
            "499": self.left,
            "": answered + self.left,
        }
        assert counted == ours, f"the gateway has counted {counted}, its clients {ours}"
        # Attempts are within each request's allowance, retries within the budget.
        attempts, retries = self.metric("attempts_total"), self.metric("retries_total")
        assert attempts <= self.asked * self.attempts, f"{attempts} attempts for {self}"
        assert retries <= RESERVE + 0.2 * self.asked, f"{retries} retries for {self}"
        # Nothing is held for a request that is over.
        await until(lambda: self.metric("pending") == 0)
        rows = [endpoint.pending_rows for endpoint in self.pool.endpoints]
        assert not any(rows), f"rows still pending: {self}"
        assert not self.queued, f"{self.queued} rows still queued: {self}"
        if self.level is not None:
            await self.level.is_back()


class _InThisProcess(GatewayProcess):
    """Without what a process does to itself once it is up."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.up = asyncio.Event()

    async def _announce_when_up(  # type: ignore[override]
        self, up: asyncio.Task[None], stopped: asyncio.Task[Any]
    ) -> None:
        await asyncio.wait((up, stopped), return_when=asyncio.FIRST_COMPLETED)
        self.up.set()


@asynccontextmanager
async def trial(
    directory: Path,
    *addresses: str,
    timeout: float = 20.0,
    cap: int | None = None,
    all_up: bool = True,
    before: Level | None = None,
    **model: Any,
) -> AsyncIterator[Trial]:
    """A gateway before the workers at *addresses*, ready; what is left over at the end fails.

    *timeout* is that of a request in seconds, *cap* how many a worker is sent at the same time;
    *model* holds other sections of the model's configuration. *all_up*: no worker has a fault from
    the beginning on. *before* is the level to come back to, without it the present one.
    """
    before = before or Level()
    file = directory / "config.yaml"
    backends = [{"address": a} | ({"max_concurrency": cap} if cap else {}) for a in addresses]
    file.write_text(
        json.dumps({
            "server": {
                "http": "127.0.0.1:0", "timeout": f"{timeout}s", "access_log": {"errors": False},
            },
            "models": {"m": {"backends": backends, **model}},
        })
    )  # fmt: skip
    config = load(str(file))
    (listening,) = listen(config.server.http, key="server.http")
    for needed in (metrics_directory(directory), state_directory(directory)):
        needed.mkdir(exist_ok=True)
    generation = Generation(1, str(file))
    process = _InThisProcess(config, generation, listening, runtime=directory, index=0)
    serving = asyncio.get_running_loop().create_task(process.serve())
    try:
        async with asyncio.timeout(PATIENCE):
            await process.up.wait()
        under_trial = Trial(process, listening, config.models["m"].retry.attempts)
        async with asyncio.timeout(TRIAL_ENDS):
            await under_trial.begins(all_up=all_up)
            yield under_trial
            if not under_trial.settled:
                await under_trial.settles()
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        listening.close()
    await before.is_back()


class Level:
    """The tasks and file descriptors that this process has at one instant."""

    def __init__(self) -> None:
        self._tasks = asyncio.all_tasks()
        self._files = _files()

    def __repr__(self) -> str:
        return f"<Level {len(self._tasks)} tasks, {len(self._files)} descriptors>"

    async def is_back(self, *, patience: float = PATIENCE) -> None:
        """Wait until there is no more than there was; a leak fails with what may be it."""

        def holds() -> bool:
            tasks, files = asyncio.all_tasks(), _files()
            return len(tasks) <= len(self._tasks) and len(files) <= len(self._files)

        try:
            await until(holds, patience=patience)
        except TimeoutError:
            tasks, files = asyncio.all_tasks() - self._tasks, _files() - self._files
            raise AssertionError(f"leaked, among {tasks} and {sorted(files)}") from None


def _files() -> set[str]:
    found = set()
    for file in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of this very look
            found.add(f"{file.name} -> {file.readlink()}")
    # The loop opens one for its first Unix socket, and keeps it.
    return {file for file in found if not file.endswith("/dev/null")}


async def until(condition: Callable[[], bool], *, patience: float = PATIENCE) -> None:
    """Wait until *condition* holds; TimeoutError if it does not for so many seconds."""
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110 - metrics and states tell nobody that they change
            await asyncio.sleep(0.002)
