# SPDX-License-Identifier: Apache-2.0
"""Command: `infergate bench` behind its options: what is asked, printed, written and kept."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from rich.console import Console

from gateway.lab import LabError
from gateway.lab.bench.questions import Questions
from gateway.lab.load.command import check_extra, interruptible, progress
from gateway.lab.search.limit import Progress
from gateway.lab.search.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.lab.bench.outputs import Outputs
    from gateway.lab.load.command import Meter
    from gateway.lab.load.run import Plan, Run
    from gateway.lab.report.document import Report


def run(
    plan: Plan,
    data: str | None,
    *,
    questions: Questions | None = None,
    outputs: Outputs | None = None,
    agents: Sequence[str] = (),
    secret: str = "",
) -> int:
    """Answer *questions* of the deployment in *plan*; print, write and keep what was found.

    *agents* generate the load in place of this host; they know *secret*. Returns 0; 1 where an
    answer is no or the generator was measured instead of the server; or 2 after one line on stderr
    where something cannot be used.
    """
    asked = questions or Questions()
    try:
        check_extra(plan)
        # What these import is an extra, and its lack is told above.
        from gateway.lab.bench import outputs as files  # noqa: PLC0415

        wanted = outputs or files.Outputs()
        wanted.check()
        asked.check(plan)
        report = asyncio.run(_answer(plan, data, asked, agents, secret))
        files.keep(report, wanted)
        _print(report, asked)
        files.write(report, wanted)
    except LabError as error:
        print(f"infergate bench: {error}", file=sys.stderr)
        return 2
    except asyncio.CancelledError:
        # A second Ctrl-C: nothing is waited for any more.
        raise KeyboardInterrupt from None
    return 0 if report.passed and report.verdict == "VALID" else 1


def _print(report: Report, asked: Questions) -> None:
    from gateway.lab.load.show import show as show_run  # noqa: PLC0415
    from gateway.lab.report.terminal import show as show_report  # noqa: PLC0415

    console = Console(highlight=False)
    for run in report.runs:
        show_run(run, console, level=asked.level)
    # What a run says of itself is shown with it.
    several = report.kind != "load test" or len(report.runs) > 1
    show_report(report, console, points=several, verdict=several)
    if report.name:
        console.print(f"kept as {report.name}: infergate bench history show {report.name}",
                      markup=False, soft_wrap=True)  # fmt: skip


async def _answer(
    plan: Plan, data: str | None, asked: Questions, agents: Sequence[str], secret: str
) -> Report:
    from gateway.lab.account.account import Watch  # noqa: PLC0415
    from gateway.lab.bench.answering import Answering  # noqa: PLC0415
    from gateway.lab.bench.payload import rows_of  # noqa: PLC0415
    from gateway.lab.load.fleet import Fleet  # noqa: PLC0415
    from gateway.lab.load.measure import measure  # noqa: PLC0415
    from gateway.lab.report.store import Store, directory  # noqa: PLC0415

    baseline = Store(directory()).find(asked.baseline) if asked.baseline else None
    stop = asyncio.Event()
    with interruptible(stop), progress() as meter:
        async with Fleet(agents, secret=secret) as fleet:

            async def load(one: Plan) -> Run:
                return await measure(one, data, on_progress=meter.tell, stop=stop, fleet=fleet)

            async def payload(size: float) -> int:
                return await rows_of(plan, size)

            async def watch(one: Plan) -> Watch:
                return await Watch.begin(one.url, dict(one.headers))

            answering = Answering(
                plan, asked, load,
                payload_rows=payload, watch=watch, stopped=stop.is_set,
                progress=Steps(meter), step=meter.say,
            )  # fmt: skip
            return await answering.report(baseline)


class Steps(Progress):
    """Says each step of a search above the bar."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def probed(self, found: Probe) -> None:
        """One line for a probe."""
        p99 = found.point.p99 * 1e3
        self._meter.say(
            f"{found.rate:8.0f}/s  {found.outcome:<9}  p99 {p99:.3g} ms, "
            f"{found.point.requests} requests in {found.point.seconds:g} s"
        )

    def confirming(self, rate: float, number: int) -> None:
        """One line for a run of the winner."""
        self._meter.say(f"{rate:8.0f}/s  confirming, run {number}")
