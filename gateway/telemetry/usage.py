# SPDX-License-Identifier: Apache-2.0
"""Usage: what this process uses, and what it may, as the kernel says it."""

from __future__ import annotations

import ctypes
import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

# cgroup v1 says "no limit" with the largest number of whole pages.
_NO_LIMIT: Final = 1 << 60
# Descriptors of clients, as a part of all: workers, files and whatever libraries open need some.
_CLIENTS: Final = 0.4
MOST_CONNECTIONS: Final = 65536


def resident_memory(proc: Path = Path("/proc/self")) -> int:
    """Bytes of this process that are in memory."""
    return int((proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def memory_limit(proc: Path = Path("/proc/self"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that this process may have: its control group's limit, at most the machine's memory.

    Groups are read in both versions, and a limit of any group above counts.
    """
    limit = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    try:
        lines = (proc / "cgroup").read_text().splitlines()
    except OSError:
        return limit
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            root, name = groups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        # Inside a container the path may be the one of the host, of which only the root is there.
        group = root / path.lstrip("/")
        for directory in (group, *group.parents):
            limit = min(limit, _limit_in(directory / name))
            if directory == root:
                break
    return limit


def _limit_in(file: Path) -> int:
    try:
        text = file.read_text().strip()
    except OSError:
        return _NO_LIMIT
    return int(text) if text.isdecimal() else _NO_LIMIT


def open_descriptors(directory: Path = Path("/proc/self/fd")) -> int:
    """File descriptors that this process has open."""
    # Since Linux 6.2 the directory's size is their number; listing takes a millisecond for
    # thousands of them.
    size = directory.stat().st_size
    return size or sum(1 for _ in directory.iterdir())


def descriptor_limit() -> int:
    """How many file descriptors this process may open, after as many as it may were asked for.

    The usual soft limit of 1,024 is for programs that cannot handle more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return _NO_LIMIT if soft == resource.RLIM_INFINITY else soft


def connection_cap(descriptors: int) -> int:
    """Client connections for a process that may open so many *descriptors*."""
    return max(1, min(MOST_CONNECTIONS, int(descriptors * _CLIENTS)))


def give_back_memory() -> None:
    """Have the allocator return what is free to the kernel; nothing happens where it cannot."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
