# SPDX-License-Identifier: Apache-2.0
"""What load is put on, where it runs, and before whom."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import Program, Server, find, free_port, python

# As they were before any of them was chosen.
CORES = sorted(os.sched_getaffinity(0))
_ANSWER = {
    "model_name": "m",
    "name": "m",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 64]}],
    "outputs": [{"name": "y", "datatype": "INT64", "shape": [1], "data": [1]}],
}


class Turns:
    """Who runs before other programs; nobody where *wanted* is false."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted

    def weigh(self, *pids: int) -> None:
        """Their sessions get more of the cores."""
        for pid in pids if self._wanted else ():
            Path(f"/proc/{pid}/autogroup").write_text("-15")

    @contextmanager
    def idle_mostly(self, *pids: int) -> Iterator[None]:
        """They, and what this process starts, run whenever they want to."""
        real = (os.getpid(), *pids) if self._wanted else ()
        for pid in real:
            os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))
        try:
            yield
        finally:
            for pid in real:
                os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


@contextmanager
def scripted(*arguments: str) -> Iterator[tuple[str, int]]:
    """The URL of the scripted server, on the second core, and its pid."""
    command = [*pinned(1), *python("-m", "benchmarks.load.server", *arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout is not None else ""
            yield f"http://127.0.0.1:{int(line)}", process.pid
        finally:
            process.kill()


@contextmanager
def nginx(directory: Path, turns: Turns) -> Iterator[Server]:
    """An nginx with one worker that answers at once, on the second core; its port is in a file."""
    port = free_port()
    (directory / "port").write_text(str(port))
    template = Path(__file__).parents[1] / "rivals" / "nginx-upstream.conf"
    config = directory / "nginx.conf"
    config.write_text(
        template.read_text().format(
            directory=directory, upstream_port=port, body=json.dumps(_ANSWER)
        )
    )
    argv = [*pinned(1), find("nginx"), "-c", str(config), "-p", str(directory)]
    with Server([Program(argv)], log=directory / "log") as server:
        server._await(directory / "upstream.pid")  # noqa: SLF001 - what Program.after does
        turns.weigh(*server.tree())
        yield server


def pinned(core: int) -> list[str]:
    """What runs a command on one core, where there are two."""
    return ["taskset", "--cpu-list", str(CORES[core])] if len(CORES) > 1 else []
