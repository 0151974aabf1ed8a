# SPDX-License-Identifier: Apache-2.0
"""The end: in order when asked, at once when asked twice, and never without the children."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.events import Household, wait_gone

MEMBERS = (
    "control:control:well",
    "digits-0:worker:well",
    "digits-1:worker:well",
    "gateway-0:gateway:well",
)
STUBBORN = tuple(member.replace(":well", ":stubborn") for member in MEMBERS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_gateways_first_then_workers_then_control(number: signal.Signals) -> None:
    """A worker is told only after the last gateway has ended, control after the last worker."""
    with Household(*MEMBERS) as house:
        house.take(5)
        house.send(number)
        told = house.take(5)
        assert told[:2] == ["supervisor stopping", "gateway-0 SIGTERM"]
        assert sorted(told[2:4]) == ["digits-0 SIGTERM", "digits-1 SIGTERM"]
        assert told[4] == "control SIGTERM"
        assert house.ends() == (0, "")


def test_what_will_not_end_is_killed_after_its_grace() -> None:
    """A stubborn gateway is named and killed; the exit code says that the end was not clean."""
    with Household("gateway-0:gateway:stubborn", "digits-0:worker:well", grace=0.1) as house:
        house.take(3)
        house.send(signal.SIGTERM)
        assert house.take(3) == [
            "supervisor stopping",
            "gateway-0 SIGTERM",
            "supervisor gateway-0-did-not-end-in-time:-killed",
        ]
        assert house.next() == "digits-0 SIGTERM"
        assert house.ends() == (1, "")


def test_a_second_signal_kills_what_still_runs() -> None:
    """Nothing is waited for any more, whatever the grace."""
    with Household(*STUBBORN) as house:
        house.take(5)
        pidfds = [os.pidfd_open(pid) for name, pid in house.pids.items() if name != "supervisor"]
        house.send(signal.SIGTERM)
        assert house.take(2) == ["supervisor stopping", "gateway-0 SIGTERM"]
        house.send(signal.SIGTERM)
        assert house.ends()[0] == 1
        assert len(pidfds) == 4
        for pidfd in pidfds:
            assert wait_gone(pidfd)
            os.close(pidfd)


def test_hang_up_is_passed_on_to_the_control_process_alone() -> None:
    """It is the wish for a reload; a stand-in that does not know it ends by it."""
    with Household("gateway:gateway:well", "control:control:well") as house:
        house.take(3)
        house.send(signal.SIGHUP)
        assert house.next() == "supervisor restarting-control-SIGHUP"
        house.send(signal.SIGKILL, "gateway")
        assert "supervisor restarting-gateway-SIGKILL" in house.take(2)


def test_no_child_outlives_a_killed_supervisor() -> None:
    """SIGKILL of the supervisor ends every child, the stubborn too."""
    with Household(*STUBBORN) as house:
        house.take(5)
        pidfds = [os.pidfd_open(pid) for name, pid in house.pids.items() if name != "supervisor"]
        assert len(pidfds) == 4
        house.process.kill()
        for pidfd in pidfds:
            assert wait_gone(pidfd)
            os.close(pidfd)
