# SPDX-License-Identifier: Apache-2.0
"""Account: what a run cost, where, and what to change first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, Self

import aiohttp
import msgspec

from gateway.lab.account import processes
from gateway.lab.account.bottleneck import Finding, findings
from gateway.lab.account.facts import Facts, facts_of
from gateway.lab.account.metrics import OURS, Metrics
from gateway.lab.account.processes import Machine, Reading, Use
from gateway.lab.account.spans import Span, spans
from gateway.lab.load.run import Run

# Of a page of metrics, in seconds: one that takes longer is not read.
_PATIENCE: Final = 5.0
# Metrics of the other gateway processes are at most so old, in seconds.
_SETTLED: Final = 1.1
# More than any gateway's page: a server that sends more is not one.
_MOST_BYTES: Final = 16 << 20


class Account(msgspec.Struct, kw_only=True):
    """Spans of the mean request, processes, the facts beside them, and what they say."""

    spans: list[Span] = []
    processes: list[Use] = []
    machine: Machine | None = None
    facts: Facts = msgspec.field(default_factory=Facts)
    findings: list[Finding] = []

    @property
    def sentence(self) -> str:
        """The bottleneck and the next knob, in words."""
        return str(self.findings[0]) if self.findings else ""


class Watch:
    """Reads the server at *url* now, and again when the run is over; *headers* as it sends."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._headers = headers
        self._metrics: Metrics | None = None
        self._reading: Reading

    def __repr__(self) -> str:
        return f"<Watch {self._url}>"

    @classmethod
    async def begin(cls, url: str, headers: Mapping[str, str] | None = None) -> Self:
        """Read for the first time."""
        watch = cls(url, headers or {})
        watch._metrics = await page(url, watch._headers)
        watch._reading = await asyncio.to_thread(processes.read, url)
        return watch

    async def account(self, run: Run) -> Account:
        """Read again, and account for *run*."""
        after = await asyncio.to_thread(processes.read, self._url)
        uses, machine = processes.used(self._reading, after)
        grown = None
        if self._metrics is not None:
            if sum(use.role == "gateway" for use in uses) != 1:
                await asyncio.sleep(_SETTLED)
            now = await page(self._url, self._headers)
            grown = None if now is None else now.since(self._metrics)
        return account(run, metrics=grown, uses=uses, machine=machine if uses else None)


def account(
    run: Run, *, metrics: Metrics | None, uses: list[Use], machine: Machine | None
) -> Account:
    """Of *run*, with what a gateway's metrics grew by and what local processes used, if known."""
    split = spans(run, metrics)
    generators = [
        Use(name="load generator", role="generator", pid=one.pid, cores=one.cpu, memory=0)
        for one in run.health
    ]
    facts = facts_of(run, split, metrics, [*uses, *generators], machine)
    return Account(
        spans=split,
        processes=[*uses, *generators],
        machine=machine,
        facts=facts,
        findings=findings(facts),
    )


async def page(url: str, headers: Mapping[str, str]) -> Metrics | None:
    """The metrics at *url*; None where there are none of a gateway, for whatever reason."""
    base = url if "://" in url else f"http://{url}"
    timeout = aiohttp.ClientTimeout(total=_PATIENCE)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{base.rstrip('/')}/metrics", headers=headers) as answer,
        ):
            if answer.status != 200:
                return None
            body = await answer.content.read(_MOST_BYTES)
        text = body.decode()
        return Metrics.parse(text) if OURS.requests.name in text else None
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
