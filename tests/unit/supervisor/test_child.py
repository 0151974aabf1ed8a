# SPDX-License-Identifier: Apache-2.0
"""Child: the words for how a process ended."""

from __future__ import annotations

import os
import signal

import pytest

from gateway.supervisor.child import Child, Kind, Process, reason
from gateway.wire.process import READY


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0, "exit-0"),
        (1 << 8, "exit-1"),
        (2 << 8, "exit-2"),
        (int(signal.SIGKILL), "SIGKILL"),
        (int(signal.SIGSEGV) | 0x80, "SIGSEGV"),
        (int(signal.SIGRTMIN) + 3, f"signal-{int(signal.SIGRTMIN) + 3}"),
    ],
)
def test_reason_names_the_signal_or_the_exit_code(status: int, expected: str) -> None:
    """The label is from a small closed set, and says core dump or not the same."""
    assert reason(status) == expected


def test_kinds_are_in_the_order_in_which_they_end() -> None:
    """Whoever needs another process ends before it."""
    assert list(Kind) == [Kind.GATEWAY, Kind.WORKER, Kind.CONTROL]


def test_repr_shows_the_state() -> None:
    """A process that was not started is down."""
    process = Process(Child("digits-0", Kind.WORKER, ("true",)))
    assert repr(process) == "<Process digits-0 down pid=0>"


def test_a_process_that_served_is_started_again_at_once() -> None:
    """Its time counts from when it was ready; a long start is no service."""
    now = 0.0
    process = Process(Child("digits-0", Kind.WORKER, ("true",)), clock=lambda: now)
    assert [process.ended(0) for _ in range(3)] == [0.1, 0.2, 0.4]

    process.ready_fd, announce = os.pipe()
    os.write(announce, READY)
    os.close(announce)
    now = 60.0
    assert process.read_ready()
    now = 60.9
    assert process.ended(0) == 0.8
    now = 61.0
    assert process.ended(0) == 0.1


def test_what_a_process_says_instead_of_ready_is_kept() -> None:
    """Until it is started again."""
    process = Process(Child("digits-0", Kind.WORKER, ("true",)))
    process.ready_fd, announce = os.pipe()
    os.write(announce, b"no such file: model.onnx")
    os.close(announce)
    assert not process.read_ready()
    assert process.complaint == "no such file: model.onnx"
