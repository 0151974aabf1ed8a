# SPDX-License-Identifier: Apache-2.0
"""Progress: how a search goes, as bars where there is a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from types import TracebackType

    from gateway.lab.tune.measured import Objective, Trial
    from gateway.lab.tune.setting import Setting


class Progress:
    """A bar for *trials*, with the best so far; nothing where stderr is no terminal."""

    def __init__(self, trials: int) -> None:
        console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bars.add_task("preparing", total=trials)
        self._best: float = 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def say(self, what: str) -> None:
        """What is done now."""
        self._bars.update(self._task, description=what)

    def tried(self, trial: Trial, objective: Objective) -> None:
        """One more setting."""
        if trial.measured.feasible(objective):
            self._best = max(self._best, trial.measured.throughput)
        self._bars.update(
            self._task,
            completed=trial.number + 1,
            description=f"trying settings, best {self._best:,.0f} requests/s",
        )

    def confirmed(self, setting: Setting, count: int, total: int) -> None:
        """One more turn."""
        self._bars.update(
            self._task, completed=count, total=total, description=f"measuring again: {setting.name}"
        )
