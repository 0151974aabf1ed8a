# SPDX-License-Identifier: Apache-2.0
"""Command: what a load test on the command line needs besides: progress, Ctrl-C, its extra."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar

from gateway.lab import LabError
from gateway.lab.load.verdict import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.lab.load.measure import Progress
    from gateway.lab.load.run import Plan, Run

# What the command needs of the extra `lab`, and the one more for gRPC.
_NEEDS: Final = ("hdrh", "psutil")
_GRPC: Final = ("grpc", "google.protobuf")


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


class Meter:
    """A bar on a terminal's stderr, with lines above it; nothing elsewhere."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task = bar.add_task("prepare", total=None, said="")

    def tell(self, now: Progress) -> None:
        """Show how a run goes."""
        errors = f", {now.errors} errors" if now.errors else ""
        said = f"{now.ok} answered{errors}, p50 {shown(now.p50)}, p99 {shown(now.p99)}"
        self._bar.update(
            self._task,
            description=now.phase,
            total=now.total or None,
            completed=now.elapsed,
            said=said if now.p50 else "",
        )

    def say(self, line: str) -> None:
        """Print *line* above the bar."""
        if not self._bar.disable:
            self._bar.console.print(line, markup=False, highlight=False)


@contextlib.contextmanager
def progress() -> Iterator[Meter]:
    """A meter while a load test runs."""
    console = Console(stderr=True)
    with Bar(
        TextColumn("{task.description:<8}"), BarColumn(), TaskProgressColumn(),
        TextColumn("{task.fields[said]}"),
        console=console, transient=True, disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        yield Meter(bar)
