# SPDX-License-Identifier: Apache-2.0
"""What a result was measured on: the machine, the versions, the commit."""

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

from benchmarks.processes import ROOT, find

PACKAGES = (
    "onnxruntime",
    "numpy",
    "uvloop",
    "httptools",
    "msgspec",
    "pillow",
    "simplejpeg",
    "orjson",
    "fastapi",
    "pydantic",
    "uvicorn",
    "mosec",
)
PROGRAMS = {"wrk": "--version", "nginx": "-v", "haproxy": "-v"}


def cpus() -> int:
    """The processors that this process may run on."""
    return len(os.sched_getaffinity(0))


def facts() -> dict[str, str]:
    """The machine and the programs on it, by name."""
    memory = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return {
        "Processor": model[1] if model else platform.machine(),
        "Cores": str(cpus()),
        "Memory": f"{int(memory[1]) / 1024**2:.1f} GiB" if memory else "unknown",
        "Kernel": platform.release(),
        "Python": platform.python_version(),
        "Packages": ", ".join(f"{name} {_package(name)}" for name in PACKAGES),
        "Programs": ", ".join(f"{name} {_program(name)}" for name in PROGRAMS),
    }


def commit() -> tuple[str, bool]:
    """The short commit, and whether the working tree differs from it."""
    name = _run(["git", "rev-parse", "--short", "HEAD"]).strip() or "unversioned"
    return name, bool(_run(["git", "status", "--porcelain", "--untracked-files=no"]).strip())


def _package(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _program(name: str) -> str:
    found = re.search(r"\d+\.\d+(?:\.\d+)?", _run([find(name), PROGRAMS[name]]))
    return found[0] if found else "of unknown version"


def _run(command: list[str]) -> str:
    """What *command* says, on either output; wrk ends with 1 after telling its version."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
