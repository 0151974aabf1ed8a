# SPDX-License-Identifier: Apache-2.0
"""Closed-loop load by wrk: run it, read what it says, refuse a run with errors in it."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.processes import BenchmarkError, find

SCRIPT = Path(__file__).with_name("wrk.lua")
FAULTS = ("connect", "read", "write", "timeout", "status")
RESULT = re.compile(r"^result (\{.*\})$", re.MULTILINE)


@dataclass(frozen=True)
class Load:
    """What one run gave: answers a second, latencies in milliseconds, faults by kind."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    faults: dict[str, int]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what wrk.lua prints; BenchmarkError where it printed no result."""
        match = RESULT.search(text)
        if match is None:
            raise BenchmarkError(f"wrk gave no result:\n{text}")
        result = json.loads(match[1])
        return cls(
            requests=result["requests"],
            seconds=result["microseconds"] / 1e6,
            p50_ms=result["p50"] / 1e3,
            p99_ms=result["p99"] / 1e3,
            max_ms=result["max"] / 1e3,
            faults={kind: result[kind] for kind in FAULTS if result[kind]},
        )


def run(url: str, requests: Path, count: int, *, connections: int, seconds: float) -> Load:
    """Send the *count* prepared *requests* in turn over *connections* for whole *seconds*.

    Raises BenchmarkError when any answer was not a success or any connection failed:
    a server that sheds or drops work is not faster for it.
    """
    command = [find("wrk"), "--threads", "1", "--connections", str(connections)]
    command += ["--duration", f"{max(1, round(seconds))}s", "--timeout", "30s"]
    command += ["--script", str(SCRIPT), url, "--", str(requests), str(count)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=seconds + 60
    )
    if done.returncode != 0:
        raise BenchmarkError(f"wrk ended with {done.returncode}: {done.stderr or done.stdout}")
    load = Load.parse(done.stdout)
    if load.faults or load.requests == 0:
        raise BenchmarkError(f"{url}: {load.requests} answers, faults {load.faults or 'none'}")
    return load
