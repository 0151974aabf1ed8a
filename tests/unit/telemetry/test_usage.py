# SPDX-License-Identifier: Apache-2.0
"""What this process uses and may use, read from a /proc and a cgroup tree of the test's own."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from gateway.telemetry import usage

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")


def write(path: Path, text: str) -> None:
    """A file with its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def limit(root: Path) -> int:
    """The memory limit in the tree below *root*."""
    return usage.memory_limit(root / "proc", root / "groups")


def test_without_groups_the_machine_is_the_limit(tmp_path: Path) -> None:
    """A process outside of any container may have all of it."""
    assert limit(tmp_path) == MACHINE


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("0::/a/b", "a/b/memory.max"),
        ("0::/a/b", "a/memory.max"),
        ("0::/a/b", "memory.max"),
        ("0::/", "memory.max"),
        ("4:cpu,memory:/a/b", "memory/a/b/memory.limit_in_bytes"),
        ("4:memory:/a/b", "memory/memory.limit_in_bytes"),
    ],
)
def test_the_limit_of_any_group_above_counts(tmp_path: Path, line: str, file: str) -> None:
    """Both versions, its own group or one above, and the container's root where paths differ."""
    write(tmp_path / "proc/cgroup", f"9:name=systemd:/\n1:cpu:/a/b\n{line}\n")
    write(tmp_path / "groups" / file, f"{64 << 20}\n")
    assert limit(tmp_path) == 64 << 20


def test_the_least_of_several_limits_counts(tmp_path: Path) -> None:
    """A group may not have more than the one that it is in."""
    write(tmp_path / "proc/cgroup", "0::/a/b\n")
    write(tmp_path / "groups/a/b/memory.max", f"{96 << 20}\n")
    write(tmp_path / "groups/a/memory.max", f"{80 << 20}\n")
    write(tmp_path / "groups/memory.max", "max\n")
    assert limit(tmp_path) == 80 << 20


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n"])
def test_no_limit_is_none(tmp_path: Path, text: str) -> None:
    """Version 2 says so with a word, version 1 with a large number."""
    write(tmp_path / "proc/cgroup", "0::/a\n4:memory:/a\n")
    for file in ("groups/a/memory.max", "groups/memory/a/memory.limit_in_bytes"):
        write(tmp_path / file, text)
    assert limit(tmp_path) == MACHINE


def test_resident_memory_is_the_second_number(tmp_path: Path) -> None:
    """In pages."""
    write(tmp_path / "statm", "900 25 3 4 0 5 0\n")
    assert usage.resident_memory(tmp_path) == 25 * os.sysconf("SC_PAGESIZE")


def test_open_descriptors_are_counted() -> None:
    """Two more with a pipe, none with its end."""
    before = usage.open_descriptors()
    ends = os.pipe()
    assert usage.open_descriptors() == before + 2
    for end in ends:
        os.close(end)
    assert usage.open_descriptors() == before


def test_a_kernel_that_does_not_say_is_asked_for_the_list(tmp_path: Path) -> None:
    """Older ones give the directory no size."""

    class Sizeless(type(tmp_path)):  # type: ignore[misc] # the class of paths depends on the system
        def stat(self, **_: object) -> os.stat_result:
            return os.stat_result([0] * 10)

    for name in "012":
        write(tmp_path / name, "")
    assert usage.open_descriptors(Sizeless(tmp_path)) == 3


def test_a_process_asks_for_all_descriptors_that_it_may_have() -> None:
    """The usual soft limit is far below the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
        assert usage.descriptor_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_clients_get_less_than_half_of_the_descriptors() -> None:
    """Within reason."""
    assert usage.connection_cap(20_000) == 8_000
    assert usage.connection_cap(1) == 1
    assert usage.connection_cap(1 << 30) == 65_536


def test_giving_memory_back_does_no_harm() -> None:
    """Whether there is any to give or not."""
    usage.give_back_memory()
