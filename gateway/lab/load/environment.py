# SPDX-License-Identifier: Apache-2.0
"""Environment: what a run was generated on, and with which versions."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

import gateway
from gateway.lab.load.run import Environment

if TYPE_CHECKING:
    from gateway.lab.load.run import Run

_PACKAGES: Final = ("uvloop", "httptools", "numpy", "hdrhistogram", "grpcio")


def environment(run: Run, *, server: str, server_version: str) -> Environment:
    """Of this host, and of the server as it told; what answers told is taken over from *run*."""
    versions = {"infergate": gateway.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return Environment(
        machine={
            "host": platform.node(),
            "processor": _line("/proc/cpuinfo", "model name") or platform.machine(),
            "cores": str(len(os.sched_getaffinity(0))),
            "memory": _line("/proc/meminfo", "MemTotal"),
            "system": f"{platform.system()} {platform.release()}",
            # What else the machine was doing: the mean of runnable processes over a minute.
            "load": f"{os.getloadavg()[0]:.2f}",
        },
        versions=versions,
        server=server,
        server_version=server_version,
        model_digest=run.environment.model_digest,
        backends=run.environment.backends,
    )


def _line(path: str, name: str) -> str:
    """What a file of the kernel says behind *name*; empty where it does not."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    found = (line.partition(":") for line in lines if line.startswith(name))
    return next((text.strip() for _, _, text in found), "")
