# SPDX-License-Identifier: Apache-2.0
"""A process that dies is started again; a start that cannot succeed ends at once."""

from __future__ import annotations

import signal
import socket

import pytest

from tests.support.events import Household

MEMBERS = ("digits-0:worker:well", "gateway-0:gateway:well", "control:control:well")


@pytest.mark.parametrize("name", ["digits-0", "gateway-0", "control"])
def test_a_killed_process_of_any_kind_is_started_again(name: str) -> None:
    """SIGKILL of one process costs one restart of that process, and nothing else."""
    with Household(*MEMBERS) as house:
        first = house.take(4)
        assert first.count("supervisor ready") == 1
        killed = house.pids[name]
        house.send(signal.SIGKILL, name)
        assert house.take(2) == [f"supervisor restarting-{name}-SIGKILL", f"{name} started"]
        assert house.pids[name] != killed
        house.send(signal.SIGTERM)
        assert house.ends() == (0, "")


def test_a_process_that_keeps_dying_keeps_being_started() -> None:
    """There is no last attempt while the others serve."""
    with Household(*MEMBERS) as house:
        house.take(4)
        for _ in range(3):
            house.send(signal.SIGKILL, "digits-0")
            assert house.take(2) == [
                "supervisor restarting-digits-0-SIGKILL",
                "digits-0 started",
            ]


def test_a_restarted_gateway_listens_where_it_did_before() -> None:
    """The port is the supervisor's: it is free at no moment, and clients wait in its queue."""
    with Household("gateway-0:gateway:listening") as house:
        _, port = house.next().split(" port-")
        assert house.next() == "supervisor ready"
        house.send(signal.SIGSTOP, "gateway-0")
        with socket.create_connection(("127.0.0.1", int(port))):
            house.send(signal.SIGKILL, "gateway-0")
            assert house.next() == "supervisor restarting-gateway-0-SIGKILL"
            assert house.next() == f"gateway-0 port-{port}"


def test_a_refused_input_ends_the_start_with_code_2() -> None:
    """What the process said is all that is said, and the others are ended."""
    with Household("digits-0:worker:refusing", "gateway-0:gateway:mute") as house:
        assert house.ends() == (2, "digits-0: this input cannot be used\n")


def test_a_crash_ends_the_start_with_code_1() -> None:
    """The process that crashed is named."""
    with Household("digits-0:worker:crashing") as house:
        assert house.next() == "supervisor digits-0-ended-before-it-was-ready:-exit-1"
        assert house.ends() == (1, "")
