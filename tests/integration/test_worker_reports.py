# SPDX-License-Identifier: Apache-2.0
"""A worker tells of its load with each answer, and whoever wants to know is told."""

from __future__ import annotations

import asyncio

from gateway.upstream.link import Link
from tests.support.scripted_worker import ScriptedWorker
from tests.support.upstream import request


class Upcalls:
    """An endpoint, as a link sees it."""

    def __init__(self) -> None:
        self.up = asyncio.Event()

    def came_up(self, info: object, instance: str) -> None:
        """The worker said hello."""
        self.up.set()

    def went_down(self, reason: str) -> None:
        """The connection ended."""

    def drains(self) -> None:
        """The worker takes no more."""


async def test_a_link_tells_of_the_load_that_answers_report() -> None:
    """Of the endpoint that it is about, before the answer itself."""
    told: list[tuple[object, int, int]] = []
    async with ScriptedWorker() as worker:
        upcalls = Upcalls()
        link = Link(worker.address, upcalls, reports=lambda *report: told.append(report))
        running = asyncio.ensure_future(link.run())
        await upcalls.up.wait()
        answer = link.send(request(1))
        (await worker.requests.get()).respond(rows=7, held=3)
        await answer
        assert told == [(upcalls, 3, 7)]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
