# SPDX-License-Identifier: Apache-2.0
"""Workforce: workers that are started and ended while the others serve."""

from __future__ import annotations

import errno
import signal

from gateway.supervisor.child import Child, Kind, Process
from gateway.supervisor.watch import Phase, Watch

KILLED = int(signal.SIGKILL)
EXIT_0 = 0
EXIT_2 = 2 << 8


class Clock:
    """Seconds that pass when told."""

    now = 0.0

    def __call__(self) -> float:
        """The present instant."""
        return self.now


class Script(Process):
    """A process that exists on paper."""

    broken = False

    def start(self) -> None:
        """Take a pid."""
        if self.broken:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        self.pid = 1000
        self.restart_at = None

    def send(self, number: signal.Signals) -> None:
        """Write it down."""
        self.complaint = self.complaint or ""
        SENT.append(f"{number.name} {self.child.name}")


SENT: list[str] = []


class Quiet:
    """Reports that nobody reads."""

    def __init__(self) -> None:
        self.restarted: list[str] = []

    def ready(self) -> None:
        """Nothing."""

    def restarting(self, child: Child, why: str, seconds: float) -> None:
        """Write it down."""
        self.restarted.append(child.name)

    def ended(self, child: Child) -> None:
        """Nothing."""

    def stopping(self) -> None:
        """Nothing."""

    def fault(self, message: str) -> None:
        """Nothing."""


def child(name: str, kind: Kind = Kind.WORKER) -> Child:
    """A child of this name."""
    return Child(name, kind, (name,))


class House:
    """Two workers, a gateway and a control process that serve."""

    def __init__(self) -> None:
        SENT.clear()
        self.clock = Clock()
        self.reports = Quiet()
        self.answers: list[tuple[str, ...]] = []
        children = [
            child("m-0"),
            child("m-1"),
            child("gateway-0", Kind.GATEWAY),
            child("control", Kind.CONTROL),
        ]
        self.watch = Watch(
            [self.hire(each) for each in children],
            self.reports,
            grace=30.0,
            patience=5.0,
            clock=self.clock,
            hire=self.hire,
        )
        self.work = self.watch.workforce
        self.watch.begin()
        for each in list(self.watch.processes):
            each.ready = True
        self.watch.became_ready()
        assert self.watch.phase is Phase.SERVING

    def hire(self, child: Child) -> Script:
        """A process on paper."""
        process = Script(child, clock=self.clock)
        process.broken = child.name == "broken"
        return process

    def start(self, *names: str) -> None:
        """Ask for these workers."""
        self.work.start([child(name) for name in names], self.answers.append)

    def keep(self, *names: str) -> None:
        """Ask for an end of all others."""
        self.work.keep(set(names), self.answers.append)

    def process(self, name: str) -> Process:
        """The process *name*."""
        return next(each for each in self.watch.processes if each.child.name == name)

    def becomes_ready(self, name: str) -> None:
        """Let it say so."""
        self.process(name).ready = True
        self.watch.became_ready()

    def ends(self, name: str, status: int, complaint: str = "") -> None:
        """Let it end."""
        process = self.process(name)
        process.complaint = complaint
        self.watch.ended(process, status)

    def names(self) -> list[str]:
        """All that are there."""
        return [each.child.name for each in self.watch.processes]


def test_a_start_is_answered_when_all_are_ready() -> None:
    """Not with the first, and without faults."""
    house = House()
    house.start("m-0", "m-1", "m-2", "m-3")
    house.becomes_ready("m-2")
    assert house.answers == []
    house.becomes_ready("m-3")
    assert house.answers == [()]
    assert house.names()[-2:] == ["m-2", "m-3"]


def test_a_start_of_what_runs_is_answered_at_once() -> None:
    """Nothing is started twice."""
    house = House()
    house.start("m-0", "m-1")
    assert house.answers == [()]
    assert len(house.names()) == 4


def test_one_that_fails_on_trial_is_told_and_not_tried_again() -> None:
    """With what it said itself; the answer waits for the others."""
    house = House()
    house.start("m-2", "m-3")
    house.ends("m-2", EXIT_2, "no such file: model.onnx")
    assert house.answers == []
    house.becomes_ready("m-3")
    assert house.answers == [("m-2: no such file: model.onnx",)]
    assert "m-2" not in house.names()
    assert house.reports.restarted == []


def test_one_that_was_shot_on_trial_is_told_by_the_signal() -> None:
    """It had no time to say anything."""
    house = House()
    house.start("m-2")
    house.ends("m-2", KILLED)
    assert house.answers == [("m-2: ended before it was ready: SIGKILL",)]


def test_one_that_the_system_does_not_start_is_told() -> None:
    """The others of the order are started all the same."""
    house = House()
    house.start("broken", "m-2")
    house.becomes_ready("m-2")
    assert house.answers == [("broken cannot be started: broken: Cannot allocate memory",)]


def test_one_that_never_becomes_ready_is_killed_and_told() -> None:
    """After the time that a start may take."""
    house = House()
    house.start("m-2")
    assert house.watch.due() == 60.0
    house.clock.now = 60.0
    house.watch.tick()
    assert SENT == ["SIGKILL m-2"]
    house.ends("m-2", KILLED, house.process("m-2").complaint)
    assert house.answers == [("m-2: not ready after 60 s",)]


def test_behind_its_trial_a_worker_is_restarted_as_any_other() -> None:
    """It belongs to the household."""
    house = House()
    house.start("m-2")
    house.becomes_ready("m-2")
    house.ends("m-2", KILLED)
    assert house.reports.restarted == ["m-2"]


def test_keep_ends_all_other_workers_and_nothing_else() -> None:
    """Gently; the answer comes when they are gone, and they are not started again."""
    house = House()
    house.keep("m-0")
    assert SENT == ["SIGTERM m-1"]
    assert house.answers == []
    house.ends("m-1", EXIT_0)
    assert house.answers == [()]
    assert house.names() == ["m-0", "gateway-0", "control"]
    assert house.reports.restarted == []


def test_keep_of_all_is_answered_at_once() -> None:
    """Nothing is to be done."""
    house = House()
    house.keep("m-0", "m-1", "m-9")
    assert (house.answers, SENT) == ([()], [])


def test_a_second_keep_waits_for_the_same_end() -> None:
    """One signal is enough: a second one would be taken for impatience."""
    house = House()
    house.keep("m-0")
    house.keep("m-0")
    assert SENT == ["SIGTERM m-1"]
    house.ends("m-1", EXIT_0)
    assert house.answers == [(), ()]


def test_what_does_not_end_is_killed() -> None:
    """After the grace of its requests and the patience beyond."""
    house = House()
    house.keep("m-0")
    house.clock.now = 34.9
    house.watch.tick()
    assert len(SENT) == 1
    house.clock.now = 35.0
    house.watch.tick()
    house.watch.tick()
    assert SENT[1:] == ["SIGKILL m-1"]
    assert house.watch.due() is None


def test_keep_ends_trials_too() -> None:
    """Who asked for them hears of it."""
    house = House()
    house.start("m-2")
    house.keep("m-0", "m-1")
    assert house.answers == [("m-2 was ended before it was ready",)]
    house.ends("m-2", EXIT_0)
    assert house.answers[1:] == [()]


def test_one_that_is_down_is_simply_not_started_again() -> None:
    """Between two lives there is nothing to end."""
    house = House()
    house.ends("m-1", KILLED)
    house.keep("m-0")
    assert house.answers == [()]
    house.clock.now = 10.0
    house.watch.tick()
    assert house.names() == ["m-0", "gateway-0", "control"]


def test_a_name_that_is_still_ending_cannot_be_started() -> None:
    """Two workers would meet on one socket."""
    house = House()
    house.keep("m-0")
    house.start("m-1")
    assert house.answers == [("m-1 is still ending; ask again once it has",)]


def test_an_order_whose_giver_is_gone_is_joined_by_the_next() -> None:
    """A control process that is started anew may ask for what is on its way."""
    house = House()
    house.start("m-2")
    house.start("m-2")
    house.becomes_ready("m-2")
    assert house.answers == [(), ()]


def test_all_can_be_stopped_in_the_middle_of_changes() -> None:
    """Trials and leavers end with the workers."""
    house = House()
    house.start("m-2")
    house.keep("m-0", "m-2")
    house.watch.drain()
    house.ends("gateway-0", EXIT_0)
    for name in ("m-0", "m-1", "m-2"):
        house.ends(name, EXIT_0)
    house.ends("control", EXIT_0)
    assert house.watch.code == 0
