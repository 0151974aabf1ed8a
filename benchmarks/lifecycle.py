# SPDX-License-Identifier: Apache-2.0
"""Two measurements of the gateway alone: time until it is ready, memory over many requests."""

import http.client
import tempfile
import time
from pathlib import Path

from benchmarks.contenders import CONFIGS, Contender
from benchmarks.measure import MIB, Running, started
from benchmarks.plan import SOAK_REQUESTS
from benchmarks.processes import BenchmarkError, Program, Server, free_port, python, usage
from benchmarks.summary import Soak

READY_PATHS = (
    "/v2/health/ready",
    "/v2/models/digits/ready",
    "/v2/models/breast-cancer/ready",
)
CONNECTIONS = 32
STEP_SECONDS = 5.0


def startup() -> float:
    """Seconds from starting `serve` until it says over HTTP that both models are ready."""
    port = free_port()
    argv = python("-m", "gateway", "serve", "-c", str(CONFIGS / "startup.yaml"))
    argv += ["--http", f"127.0.0.1:{port}"]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        start = time.perf_counter()
        with Server([Program(argv)], log=Path(name) / "log") as server:
            while not all(_answers(port, path) for path in READY_PATHS):
                server.check()
                if time.perf_counter() - start > 60:
                    raise BenchmarkError(f"not ready within 60 s:\n{server.log_text()[-2000:]}")
                # Fine enough for the figure, coarse enough to leave the processors alone.
                time.sleep(0.01)
            return time.perf_counter() - start


def soak(contender: Contender, requests: int = SOAK_REQUESTS) -> list[Soak]:
    """Load the gateway until *requests* are answered; memory of its largest process on the way."""
    found: list[Soak] = []
    done = 0
    with started(contender) as running:
        while done < requests:
            done += running.load(CONNECTIONS, STEP_SECONDS).requests
            found.append(Soak(done, _largest_gateway(running)))
    return found


def _largest_gateway(running: Running) -> float:
    """Resident MiB of the largest gateway process, workers and supervisor left out."""
    sizes = [usage([pid]).rss_bytes for pid in running.server.tree() if _is_gateway(pid)]
    if not sizes:
        raise BenchmarkError("no process of the tree runs gateway.process")
    return max(sizes) / MIB


def _is_gateway(pid: int) -> bool:
    try:
        return b"gateway.process" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
