# SPDX-License-Identifier: Apache-2.0
"""Share: a process that generates one share of a load, as its coordinator says.

``python -m gateway.lab.load.share FD`` speaks over the connected socket FD, and ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import sys
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

import numpy as np
import uvloop

from gateway.lab import LabError
from gateway.lab.load.connections import Connections
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
from gateway.lab.load.generator import Generator
from gateway.lab.load.recorder import Recorder
from gateway.lab.load.schedule import arrivals
from gateway.lab.load.supply import Supply
from gateway.lab.load.target import target_of

if TYPE_CHECKING:
    from gateway.lab.load.run import Plan
    from gateway.lab.load.sender import Sender

# A share tells how it goes so often.
SIGHT_EVERY: Final = 0.5
# After a stop, answers are waited for so long at most.
_PATIENCE: Final = 2.0
# So many inputs are sent at a time before the load begins.
_PRIMING: Final = 8


def part(whole: int, share: int, shares: int) -> int:
    """How many of *whole* things share *share* has."""
    return whole // shares + (share < whole % shares)


class Share:
    """Does one job after the other over *line*."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def __repr__(self) -> str:
        return f"<Share {self._line!r}>"

    async def serve(self) -> None:
        """Until the coordinator hangs up."""
        with contextlib.suppress(Gone):
            while True:
                order = await self._line.ordered()
                if isinstance(order, Clock):
                    await self._line.say(Clock(perf_counter_ns()))
                elif isinstance(order, Job):
                    try:
                        await self._do(order)
                    except LabError as error:
                        await self._line.say(Failed(str(error)))

    async def _do(self, job: Job) -> None:
        recorder = Recorder()
        sender = sender_of(job, recorder)
        supply = Supply(
            job.templates, repeat=job.plan.repeat, repeated=job.plan.repeated_inputs,
            salt=job.plan.salt, seed=job.plan.seed, share=job.share, shares=job.shares,
        )  # fmt: skip
        try:
            await sender.open()
            if job.primes:
                await _prime(sender, supply)
            await self._line.say(Ready(supply.inputs))
            generator = _generator(job, sender, supply, recorder)
            await self._run(job.plan, generator)
        finally:
            await sender.close()

    async def _run(self, plan: Plan, generator: Generator) -> None:
        while not isinstance(order := await self._line.ordered(), Start):
            if isinstance(order, Stop):
                raise LabError("stopped before it began")
            if isinstance(order, Begin):
                generator.begin(order.at)
        listening = asyncio.create_task(self._listen(generator))
        telling = asyncio.create_task(self._tell(generator))
        try:
            await generator.run(order.at, patience=plan.timeout)
        finally:
            for task in (listening, telling):
                task.cancel()
            await asyncio.gather(listening, telling, return_exceptions=True)
        await self._line.say(
            Done(
                tally=generator.recorder.tally,
                health=generator.health(),
                measured=generator.measured,
            )
        )

    async def _listen(self, generator: Generator) -> None:
        try:
            while True:
                order = await self._line.ordered()
                if isinstance(order, Begin):
                    generator.begin(order.at)
                elif isinstance(order, Stop):
                    generator.stop(_PATIENCE)
        except Gone:
            # Nobody is there to be told anything: the server is left in peace.
            generator.stop(0.0)

    async def _tell(self, generator: Generator) -> None:
        with contextlib.suppress(Gone):
            while True:
                await asyncio.sleep(SIGHT_EVERY)
                await self._line.say(generator.sight())


def sender_of(job: Job, recorder: Recorder) -> Sender:
    """What sends the requests of *job*."""
    plan = job.plan
    limit = max(1, part(plan.connection_limit, job.share, job.shares))
    target = target_of(plan)
    if plan.protocol == "grpc":
        from gateway.lab.load.calls import Calls  # noqa: PLC0415 - an extra

        return Calls(recorder, target, channels=limit, plan=plan)
    return Connections(
        recorder, target.host, target.port,
        limit=limit, timeout=plan.timeout, fresh=plan.new_connections,
        tls=tls_of(plan) if target.tls else None,
    )  # fmt: skip


def tls_of(plan: Plan) -> ssl.SSLContext:
    """How an https server is spoken to."""
    context = ssl.create_default_context()
    if not plan.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _generator(job: Job, sender: Sender, supply: Supply, recorder: Recorder) -> Generator:
    plan = job.plan
    schedule = None
    if plan.is_open:
        trace = np.frombuffer(job.trace) if job.trace else None
        schedule = arrivals(plan, job.warmup, share=job.share, shares=job.shares, trace=trace)
    return Generator(
        sender, supply, recorder,
        schedule=schedule, duration=plan.duration,
        concurrency=part(plan.concurrency, job.share, job.shares),
    )  # fmt: skip


async def _prime(sender: Sender, supply: Supply) -> None:
    """Send what will be repeated, a few at a time, uncounted; raises LabError if it never ends."""
    ended = asyncio.Semaphore(_PRIMING)
    sender.ended = lambda _: ended.release()
    sender.fill = supply.fill
    for number in supply.primes():
        await ended.acquire()
        now = perf_counter_ns()
        sender.offer(now, number)
        sender.expire(now)
    while sender.pending:
        sender.expire(perf_counter_ns())
        await asyncio.sleep(0.01)


async def _main(fd: int) -> None:
    loop = asyncio.get_running_loop()
    # The coordinator decides when to end: a Ctrl-C reaches all processes of a terminal at once.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=fd))
    await Share(Line(reader, writer)).serve()
    writer.close()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1])))
