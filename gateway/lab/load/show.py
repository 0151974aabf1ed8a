# SPDX-License-Identifier: Apache-2.0
"""Show: a run in the terminal, as a person reads it."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from rich import box
from rich.markup import escape
from rich.table import Table

from gateway.lab.load.verdict import shown
from gateway.units import format_duration

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.lab.load.run import Plan, Run

_PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0, 99.9)
_ERRORS: Final = {
    "connect": "could not connect", "reset": "connection lost", "timeout": "timed out",
    "shed": "shed (429, 503)", "client_error": "refused (4xx)", "server_error": "failed (5xx)",
    "malformed": "not understood", "cut": "still in flight at the end",
}  # fmt: skip


def show(run: Run, console: Console, *, level: float = 0.95) -> None:
    """Print *run*, with intervals at *level*."""
    console.print(f"[bold]{escape(run.plan.model)}[/] at {escape(run.plan.url)}: "
                  f"{load(run.plan)}", soft_wrap=True)  # fmt: skip
    if run.valid:
        console.print("[green]VALID[/]")
    for reason in run.reasons:
        console.print(f"[bold red]INVALID[/]: {escape(reason)}", soft_wrap=True)
    errors = sum(run.errors.values())
    console.print(
        f"{run.throughput:.1f} successes/s of {run.offered_rate:.1f}/s offered, "
        f"{run.ok} in {run.seconds:.1f} s, errors {errors} ({run.error_share:.2%})"
    )
    for kind, count in sorted(run.errors.items(), key=lambda item: -item[1]):
        console.print(f"  {_ERRORS[kind]}: {count}")
    if run.ok:
        console.print(_times(run, level))
    for line in _details(run):
        console.print(f"  {escape(line)}", soft_wrap=True)
    for note in run.notes:
        console.print(f"[yellow]note[/]: {escape(note)}", soft_wrap=True)


def load(plan: Plan) -> str:
    """What a plan does, in words."""
    rate = f"{plan.rate:g}/s"
    words = {
        "closed": f"closed loop of {plan.concurrency}",
        "poisson": f"Poisson, {rate}",
        "constant": f"constant, {rate}",
        "trace": f"trace {plan.trace}" + (f" at {rate}" if plan.rate else ""),
        "ramp": f"ramp to {rate}",
        "burst": f"{rate} with a burst of {plan.burst_factor:g} times that",
    }[plan.schedule]
    batch = f", {plan.batch} rows a request" if plan.batch > 1 else ""
    return f"{plan.protocol}, {words}, {format_duration(plan.duration)}{batch}, seed {plan.seed}"


def _times(run: Run, level: float) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in ("response time", f"{level:.0%} interval", "service time"):
        table.add_column(name, justify="right")
    for q in _PERCENTILES:
        low, high = run.percentile_interval(q, level)
        upper = "none" if high == inf else shown(high)
        table.add_row(
            f"p{q:g}", shown(run.percentile(q)), f"{shown(low)} to {upper}",
            shown(run.service.percentile(q)),
        )  # fmt: skip
    table.add_row("longest", shown(run.response.maximum), "", shown(run.service.maximum))
    table.add_row("mean", shown(run.response.mean), "", shown(run.service.mean))
    return table


def _details(run: Run) -> list[str]:
    lines = []
    timing = {name: each for name, each in run.server_timing.items() if each.count}
    if timing:
        parts = ", ".join(f"{name} {shown(each.mean)}" for name, each in timing.items())
        lines.append(f"server, by its own account, on average: {parts}")
    inputs = f"inputs: {run.duplicates:.1%} sent before"
    if run.cache:
        total = sum(run.cache.values())
        inputs += "; cache: " + ", ".join(
            f"{name} {count / total:.1%}" for name, count in sorted(run.cache.items())
        )
    lines.append(inputs)
    cpu = ", ".join(f"{each.cpu:.0%}" for each in run.health)
    lag = f"p99 of the send lag {shown(run.lag.percentile(99))}, " if run.plan.is_open else ""
    lines.append(
        f"generator: {lag}CPU {cpu} of a core, longest turn "
        f"{shown(max((each.loop_lag for each in run.health), default=0.0))}"
    )
    environment = run.environment
    server = f"{environment.server} {environment.server_version}".strip()
    if environment.model_digest:
        server = f"{server}, model {environment.model_digest}"
    if server:
        lines.append(f"server: {server}")
    return lines
