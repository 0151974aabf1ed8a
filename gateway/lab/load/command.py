# SPDX-License-Identifier: Apache-2.0
"""Command: `infergate bench` behind its options: progress, Ctrl-C, what is printed and written."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar

from gateway.lab import LabError
from gateway.lab.load.fleet import Fleet
from gateway.lab.load.measure import measure
from gateway.lab.load.show import show
from gateway.lab.load.verdict import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.lab.load.measure import Progress
    from gateway.lab.load.run import Plan, Run

# What the command needs of the extra `lab`, and the one more for gRPC.
_NEEDS: Final = ("hdrh",)
_GRPC: Final = ("grpc", "google.protobuf")


def run(
    plan: Plan,
    data: str | None,
    *,
    json: str | None = None,
    agents: Sequence[str] = (),
    secret: str = "",
    level: float = 0.95,
) -> int:
    """Carry out *plan*, print what it measured, and write it to the file *json*.

    *agents* generate the load in place of this host; they know *secret*. Returns 0; 1 where the
    run is not valid; or 2 after one line on stderr where something cannot be used.
    """
    try:
        check_extra(plan)
        measured = asyncio.run(_run(plan, data, agents, secret))
        if json is not None:
            write(json, measured)
    except LabError as error:
        print(f"infergate bench: {error}", file=sys.stderr)
        return 2
    except asyncio.CancelledError:
        # A second Ctrl-C: nothing is waited for any more.
        raise KeyboardInterrupt from None
    show(measured, Console(highlight=False), level=level)
    return 0 if measured.valid else 1


def check_extra(plan: Plan) -> None:
    """Raise LabError where a package that *plan* needs is not installed."""
    needs = (*_NEEDS, *_GRPC) if plan.protocol == "grpc" else _NEEDS
    for name in needs:
        # The parent must be there for a part to be looked for.
        if find_spec(name.partition(".")[0]) is None or find_spec(name) is None:
            raise LabError("load tests need the extra 'lab': pip install 'infergate[lab]'")


def write(path: str, measured: Run) -> None:
    """Write the whole of *measured* to the file *path*; raises LabError."""
    try:
        Path(path).write_bytes(measured.json())
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from None


async def _run(plan: Plan, data: str | None, agents: Sequence[str], secret: str) -> Run:
    stop = asyncio.Event()
    with interruptible(stop), progress() as tell:
        async with Fleet(agents, secret=secret) as fleet:
            return await measure(plan, data, on_progress=tell, stop=stop, fleet=fleet)


@contextlib.contextmanager
def interruptible(stop: asyncio.Event) -> Iterator[None]:
    """Ctrl-C sets *stop*: what was measured is kept. A second one ends the program."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def interrupt() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextlib.contextmanager
def progress() -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal's stderr, and what to tell it; nothing elsewhere."""
    console = Console(stderr=True)
    with Bar(
        TextColumn("{task.description:<8}"), BarColumn(), TaskProgressColumn(),
        TextColumn("{task.fields[said]}"),
        console=console, transient=True, disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("prepare", total=None, said="")

        def tell(now: Progress) -> None:
            errors = f", {now.errors} errors" if now.errors else ""
            said = f"{now.ok} answered{errors}, p50 {shown(now.p50)}, p99 {shown(now.p99)}"
            bar.update(
                task,
                description=now.phase,
                total=now.total or None,
                completed=now.elapsed,
                said=said if now.p50 else "",
            )

        yield tell
