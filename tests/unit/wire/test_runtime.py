# SPDX-License-Identifier: Apache-2.0
"""The runtime directory's layout."""

from __future__ import annotations

from gateway.wire.runtime import metrics_directory, state_file, worker_socket


def test_names_each_worker_socket_by_model_and_replica() -> None:
    """Both ends derive the same path from the same three values."""
    assert worker_socket("/run/infergate", "digits", 1) == "/run/infergate/digits-1.sock"


def test_a_long_name_still_fits_a_socket_address() -> None:
    """Names alike at their beginning stay apart, and no path exceeds what the kernel takes."""
    first = worker_socket("/run/infergate", "m" * 200 + "a", 0)
    second = worker_socket("/run/infergate", "m" * 200 + "b", 0)
    assert first != second
    assert len(first.encode()) <= 107


def test_processes_leave_metrics_and_state_in_one_directory_each() -> None:
    """The names that the other processes look for."""
    assert str(metrics_directory("/run/infergate")) == "/run/infergate/metrics"
    assert str(state_file("/run/infergate", 1)) == "/run/infergate/state/gateway-1.msgpack"
