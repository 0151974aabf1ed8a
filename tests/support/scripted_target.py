# SPDX-License-Identifier: Apache-2.0
"""A server under load in a process of its own, that does what a script says, or is stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from tests.support.tree import ROOT

if TYPE_CHECKING:
    from types import TracebackType


class ScriptedTarget(AbstractContextManager["ScriptedTarget"]):
    """`benchmarks.load.server` with *arguments*, on a free port, killed at the end."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load.server", *arguments],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self.process.send_signal(signal.SIGCONT)
