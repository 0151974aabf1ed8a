# SPDX-License-Identifier: Apache-2.0
"""A process tree is found from its root, and its use of the machine is read."""

import os
import subprocess
import sys

import pytest

from benchmarks.processes import BenchmarkError, descendants, find, usage


def test_a_tree_holds_children_and_nothing_else() -> None:
    """The child is found below this process, and this process not below the child."""
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    )
    try:
        assert {os.getpid(), child.pid} <= set(descendants([os.getpid()]))
        assert descendants([child.pid]) == [child.pid]
    finally:
        child.communicate()
    assert descendants([child.pid]) == []


def test_usage_counts_seconds_and_bytes() -> None:
    """This process has run for some time in some memory; one that is gone adds nothing."""
    used = usage([os.getpid()])
    assert used.cpu_seconds > 0
    assert used.rss_bytes > 1_000_000
    assert usage([]).rss_bytes == 0


def test_a_program_that_is_lacking_is_named() -> None:
    """The message says what to do."""
    with pytest.raises(BenchmarkError, match="no-such-program is not installed; run scripts/"):
        find("no-such-program")
