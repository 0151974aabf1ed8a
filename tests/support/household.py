# SPDX-License-Identifier: Apache-2.0
"""A supervisor's loop over stand-ins: `python -m tests.support.household NAME:KIND:MANNER…`."""

from __future__ import annotations

import os
import socket
import sys

from gateway.supervisor.child import Child, Kind, Process
from gateway.supervisor.loop import loop, signals
from gateway.supervisor.watch import Watch
from gateway.wire.listen import listen


class Reporter:
    """Reports as datagrams, beside those of the stand-ins."""

    def __init__(self) -> None:
        self._events = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._events.connect(os.environ["EVENTS"])

    def ready(self) -> None:
        """All are ready."""
        self._say("ready")

    def restarting(self, child: Child, why: str, seconds: float) -> None:
        """One is started again."""
        self._say(f"restarting-{child.name}-{why}")

    def ended(self, child: Child) -> None:
        """One is gone; what follows is reported."""

    def stopping(self) -> None:
        """The end begins."""
        self._say("stopping")

    def fault(self, message: str) -> None:
        """Something is wrong."""
        self._say(message.replace(" ", "-"))

    def _say(self, event: str) -> None:
        self._events.send(f"supervisor {event} {os.getpid()}".encode())


def main(arguments: list[str]) -> int:
    """Run the household until it ends; gives its exit code."""
    grace = float(os.environ.get("GRACE", "30"))
    processes = []
    (port,) = listen("127.0.0.1:0", key="server.http")
    for argument in arguments:
        name, kind, manner = argument.split(":")
        argv = (sys.executable, "-m", "tests.support.standin", name, manner)
        sockets = (("http", port.fileno()),) if manner == "listening" else ()
        processes.append(Process(Child(name, Kind(kind), argv, sockets=sockets)))
    with port, signals() as arriving:
        watch = Watch(processes, Reporter(), grace=grace, patience=grace, echo=0.0)
        return loop(watch, arriving)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
