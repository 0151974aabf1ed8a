# SPDX-License-Identifier: Apache-2.0
"""Fleet: the processes that generate a load together, on this host or on others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final, Self

import gateway
from gateway.lab import LabError
from gateway.lab.load.conversation import (
    Begin,
    Clock,
    Done,
    Failed,
    Gone,
    Job,
    Line,
    Ready,
    Start,
    Stop,
)
from gateway.lab.load.generator import Sight
from gateway.lab.load.greeting import introduce

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# The clock of another process is asked so often: the quickest answer tells best.
_CLOCK_ROUNDS: Final = 12
# From the order to the first request, in seconds: an order reaches every host by then.
_HEAD_START: Final = 0.2
# A process that was hung up on ends by itself within this, in seconds.
_PATIENCE: Final = 5.0
# An agent answers a connection within this, in seconds.
_GREETING: Final = 10.0


class Link:
    """One generating process, and how much its clock is ahead of ours."""

    def __init__(
        self, line: Line, where: str, process: asyncio.subprocess.Process | None = None
    ) -> None:
        self.line = line
        self.where = where
        self.ahead = 0
        self._process = process

    def __repr__(self) -> str:
        return f"<Link {self.where}>"

    @property
    def pid(self) -> int:
        """Of the process, 0 where it runs elsewhere."""
        return self._process.pid if self._process is not None else 0

    async def set_clock(self) -> None:
        """Learn how much the other clock is ahead; half of the quickest round trip is unsure."""
        quickest = 1 << 62
        for _ in range(_CLOCK_ROUNDS):
            asked = perf_counter_ns()
            await self.line.say(Clock())
            answer = await self.line.told()
            took = perf_counter_ns() - asked
            if isinstance(answer, Clock) and took < quickest:
                quickest = took
                self.ahead = answer.now - (asked + took // 2)

    async def close(self) -> None:
        """Hang up, and see a process of ours end."""
        await self.line.close()
        if self._process is not None:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


class Fleet:
    """Generating processes that are kept from one run to the next; an ``async with`` owns them.

    They run on this host, or with *agents*, ``HOST:PORT`` of each, on those that run
    ``infergate bench-agent`` with the same *secret*.
    """

    def __init__(self, agents: Sequence[str] = (), *, secret: str = "") -> None:
        self._agents = tuple(agents)
        self._secret = secret
        self._links: list[Link] = []

    def __repr__(self) -> str:
        return f"<Fleet of {len(self._links)}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(link.close() for link in self._links), return_exceptions=True)
        self._links.clear()

    @property
    def pids(self) -> list[int]:
        """Those of the processes on this host that it has started."""
        return [link.pid for link in self._links if link.pid]

    @property
    def hosts(self) -> int:
        """On so many hosts load is generated."""
        return max(1, len(self._agents))

    async def grow(self, processes: int) -> None:
        """Have *processes* on each host; raises LabError where an agent cannot be reached."""
        wanted = processes * self.hosts
        while len(self._links) < wanted:
            if self._agents:
                link = await self._reach(self._agents[len(self._links) % len(self._agents)])
            else:
                link = await _start()
            self._links.append(link)

    async def run(
        self, jobs: Sequence[Job], *, begin: float | None, watch: Callable[[Watch], None]
    ) -> list[Done]:
        """Do *jobs*, one on each process, from a common instant; gives what they counted.

        The window begins *begin* seconds after that, or when `Watch.begin` is called. *watch* is
        called once with the Watch, before anything is sent. Raises LabError where a job fails.
        """
        links = self._links[: len(jobs)]
        if len(links) < len(jobs):
            raise LabError(f"{len(jobs)} jobs for {len(links)} generating processes")
        try:
            await asyncio.gather(*(link.set_clock() for link in links))
            await asyncio.gather(
                *(_prepare(link, job) for link, job in zip(links, jobs, strict=True))
            )
            watch_ = Watch(links, perf_counter_ns() + round(_HEAD_START * 1e9))
            watch(watch_)
            if begin is not None:
                await watch_.begin(watch_.start + round(begin * 1e9))
            for link in links:
                await link.line.say(Start(watch_.start + link.ahead))
            return await asyncio.gather(
                *(watch_.follow(place, link) for place, link in enumerate(links))
            )
        except Gone as error:
            # What it was about to say is lost: no process of this fleet can be relied on.
            await self.__aexit__()
            raise LabError(f"a generating process is gone: {error}") from None
        except BaseException:
            await self.__aexit__()
            raise

    async def _reach(self, address: str) -> Link:
        host, _, port = address.rpartition(":")
        writer = None
        try:
            async with asyncio.timeout(_GREETING):
                reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
                await introduce(reader, writer, self._secret)
            line, writer = Line(reader, writer), None
        except TimeoutError:
            raise LabError(f"agent {address}: no answer within {_GREETING:g} s") from None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise LabError(f"agent {address}: {why}") from None
        finally:
            if writer is not None:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        return Link(line, address)


class Watch:
    """A run that is going on: what it tells, and how it is led. Instants are in our own clock."""

    def __init__(self, links: Sequence[Link], start: int) -> None:
        self.start = start
        self.window = 0
        self._links = links
        self.sights: list[Sight] = [Sight() for _ in links]
        # Called after each sight, with the place of its process.
        self.seen: Callable[[int], None] = lambda _: None

    def __repr__(self) -> str:
        return f"<Watch of {len(self._links)}>"

    async def begin(self, instant: int) -> None:
        """The window begins at *instant*, which should lie a little ahead."""
        self.window = instant
        for link in self._links:
            await link.line.say(Begin(instant + link.ahead))

    async def stop(self) -> None:
        """Offer no more."""
        for link in self._links:
            with contextlib.suppress(Gone):
                await link.line.say(Stop())

    async def follow(self, place: int, link: Link) -> Done:
        """Listen to one process until it is done."""
        while True:
            told = await link.line.told()
            if isinstance(told, Sight):
                self.sights[place] = told
                self.seen(place)
            elif isinstance(told, Done):
                return told
            elif isinstance(told, Failed):
                raise LabError(told.message)


async def _prepare(link: Link, job: Job) -> None:
    await link.line.say(job)
    answer = await link.line.told()
    if isinstance(answer, Failed):
        raise LabError(answer.message)
    if not isinstance(answer, Ready):
        raise Gone(f"{link.where} said {type(answer).__name__} to a job")


def share_command(fd: int) -> tuple[list[str], dict[str, str]]:
    """What runs a generating process with the connected socket *fd*, and its environment."""
    paths = (str(Path(gateway.__file__).parents[1]), os.environ.get("PYTHONPATH"))
    return [sys.executable, "-P", "-m", "gateway.lab.load.share", str(fd)], {
        **os.environ,
        # Numerical libraries would start a thread per core, for nothing.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        # The very program that this is, wherever it runs from.
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }


async def _start() -> Link:
    """A process on this host. It ends when its socket does, whatever becomes of us."""
    ours, theirs = socket.socketpair()
    with theirs:
        command, environment = share_command(theirs.fileno())
        process = await asyncio.create_subprocess_exec(
            *command, pass_fds=(theirs.fileno(),), env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            # A Ctrl-C in the terminal is for the coordinator, which then asks for what there is.
            start_new_session=True,
        )  # fmt: skip
    reader, writer = await asyncio.open_connection(sock=ours)
    return Link(Line(reader, writer), f"process {process.pid}", process)
