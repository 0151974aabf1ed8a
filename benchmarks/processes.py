# SPDX-License-Identifier: Apache-2.0
"""Start a server of one or more processes, read what its process tree uses, and end it by id."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
ROOT = Path(__file__).parents[1]


class BenchmarkError(RuntimeError):
    """A contender did not start, answered wrongly or lost requests: no number is better."""


@dataclass(frozen=True)
class Program:
    """One program of a server, started when *after* (a socket of the one before) exists."""

    argv: Sequence[str]
    after: Path | None = None


@dataclass(frozen=True)
class Usage:
    """What a process tree has used: CPU in seconds since its start, resident memory in bytes."""

    cpu_seconds: float
    rss_bytes: int


@dataclass
class Server:
    """The running programs of one contender; ends them, and all they started, on exit."""

    programs: Sequence[Program]
    environment: Mapping[str, str] = field(default_factory=dict)
    log: Path = Path(os.devnull)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **self.environment}
        try:
            for program in self.programs:
                if program.after is not None:
                    self._await(program.after)
                with self.log.open("ab") as log:
                    self.processes.append(
                        subprocess.Popen(
                            program.argv,
                            cwd=ROOT,
                            env=environment,
                            stdin=subprocess.DEVNULL,
                            stdout=log,
                            stderr=log,
                            start_new_session=True,
                        )
                    )
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def tree(self) -> list[int]:
        """The process ids of this server, those its programs started included."""
        return descendants(process.pid for process in self.processes)

    def usage(self) -> Usage:
        """CPU time and memory of the whole tree now."""
        return usage(self.tree())

    def check(self) -> None:
        """Raise BenchmarkError with the end of the log where a program has ended."""
        for process in self.processes:
            if process.poll() is not None:
                tail = "\n".join(self.log_text().splitlines()[-20:])
                command = " ".join(map(str, process.args)) if isinstance(process.args, list) else ""
                raise BenchmarkError(f"{command} ended with {process.returncode}:\n{tail}")

    def log_text(self) -> str:
        """What the programs have written so far."""
        return self.log.read_text(errors="replace") if self.log.is_file() else ""

    def stop(self, grace: float = 10.0) -> None:
        """Ask the programs to end, the last started first; kill what is left after *grace*."""
        tree = self.tree()
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        deadline = time.monotonic() + grace
        for process in self.processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        # Children that outlived their parent: of this tree still, unless the id was given anew,
        # which the session id (that of the program which was started) tells.
        sessions = {process.pid for process in self.processes}
        for pid in tree:
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(pid) in sessions:
                    os.kill(pid, signal.SIGKILL)

    def _await(self, path: Path, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not path.exists():
            self.check()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{path.name} was not made within {seconds:.0f} s")
            time.sleep(0.02)


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def descendants(roots: Iterable[int]) -> list[int]:
    """Process ids of *roots* and all below them that are alive."""
    children: dict[int, list[int]] = {}
    alive: set[int] = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields is not None:
                alive.add(int(entry.name))
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid for pid in roots if pid in alive]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting.extend(children.get(pid, ()))
    return found


def usage(pids: Sequence[int]) -> Usage:
    """CPU time and memory of *pids*; a process that is gone counts as nothing."""
    ticks, pages = 0, 0
    for pid in pids:
        fields = _stat(pid)
        if fields is not None:
            ticks += int(fields[11]) + int(fields[12])
            pages += int(fields[21])
    return Usage(ticks / TICKS, pages * PAGE)


def machine_busy_seconds() -> float:
    """CPU seconds that were used since the machine started, by whomever.

    What a hypervisor gave to other guests counts too: it was not there for this one.
    """
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    user, nice, system, _, _, irq, softirq, stolen = map(int, fields)
    return (user + nice + system + irq + softirq + stolen) / TICKS


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third on (state, parent, ...); None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the name, is in brackets and may hold blanks and brackets itself.
    return text[text.rindex(")") + 2 :].split()


def find(program: str) -> str:
    """The path of an installed program; BenchmarkError where it is lacking."""
    # Servers stand in sbin, which a plain user's PATH may leave out.
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        raise BenchmarkError(f"{program} is not installed; run scripts/system-packages bench")
    return found


def python(*arguments: str) -> list[str]:
    """A command line that runs this interpreter."""
    return [sys.executable, *arguments]
