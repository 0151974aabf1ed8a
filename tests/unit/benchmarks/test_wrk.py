# SPDX-License-Identifier: Apache-2.0
"""What the load generator says is read whole, and a run that says nothing is refused."""

import pytest

from benchmarks.processes import BenchmarkError
from benchmarks.wrk import Load

OUTPUT = """Running 2s test @ http://127.0.0.1:9000
  1 threads and 32 connections
Requests/sec:  12345.00

result {"requests": 30000, "microseconds": 2000000, "p50": 420, "p99": 1030, "max": 5120, \
"connect": 0, "read": %d, "write": 0, "timeout": 0, "status": %d}
"""


def test_a_result_is_read_in_seconds_and_milliseconds() -> None:
    """Counts, times and percentiles keep their meaning."""
    load = Load.parse(OUTPUT % (0, 0))
    assert load == Load(30000, 2.0, 0.42, 1.03, 5.12, {})
    assert load.rate == 15000.0


def test_faults_are_kept_by_kind() -> None:
    """A refused request and a lost connection are told apart, and what did not happen is left."""
    assert Load.parse(OUTPUT % (3, 7)).faults == {"read": 3, "status": 7}


def test_an_output_without_a_result_is_an_error() -> None:
    """A load generator that broke off gives no figure, not a figure of nothing."""
    with pytest.raises(BenchmarkError, match="unable to connect"):
        Load.parse("unable to connect to 127.0.0.1:9000 Connection refused")
