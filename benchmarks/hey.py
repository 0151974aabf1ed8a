# SPDX-License-Identifier: Apache-2.0
"""Closed-loop load by hey: run it and read the times that it lists."""

import csv
import io
import subprocess
from pathlib import Path

import numpy as np

from benchmarks.processes import BenchmarkError, find


def run(url: str, body: Path, *, connections: int, seconds: float) -> np.ndarray:
    """Seconds of each answer, sorted, of POSTs of *body* over *connections* for whole *seconds*.

    hey lists a million of them at most. Raises BenchmarkError when any was not a success.
    """
    command = [find("hey"), "-z", f"{max(1, round(seconds))}s", "-c", str(connections)]
    command += ["-m", "POST", "-D", str(body), "-T", "application/json", "-o", "csv", url]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=seconds + 60
    )
    if done.returncode != 0:
        raise BenchmarkError(f"hey ended with {done.returncode}: {done.stderr or done.stdout}")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    failed = sum(row["status-code"] != "200" for row in rows)
    if failed or not rows:
        raise BenchmarkError(f"{url}: hey had {len(rows)} answers, {failed} of them faults")
    return np.sort(np.array([float(row["response-time"]) for row in rows]))
