# SPDX-License-Identifier: Apache-2.0
"""Watch: what is started, restarted and ended, in which order, and with which exit code."""

from __future__ import annotations

import errno
import signal

from gateway.supervisor.child import Child, Kind, Process
from gateway.supervisor.watch import Phase, Watch

KILLED = int(signal.SIGKILL)  # a wait status: ended by this signal
EXIT_0 = 0
EXIT_1 = 1 << 8
EXIT_2 = 2 << 8


class Clock:
    """Seconds that pass when told."""

    now = 0.0

    def __call__(self) -> float:
        """The present instant."""
        return self.now


class Script(Process):
    """A process that exists on paper; *sent* is shared, to see the order of signals."""

    def __init__(self, name: str, kind: Kind, clock: Clock, sent: list[str]) -> None:
        super().__init__(Child(name, kind, (name,)), clock=clock)
        self.sent = sent
        self.starts = 0
        self.broken = False

    def start(self) -> None:
        """Take a pid, or fail as the kernel does when it has no memory."""
        self.restart_at = None
        if self.broken:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        self.starts += 1
        self.pid = 1000 + self.starts

    def send(self, number: signal.Signals) -> None:
        """Write down who was sent what."""
        if self.pid:
            self.sent.append(f"{number.name} {self.child.name}")


class Log:
    """What was reported, in words."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.gone: list[str] = []

    def ready(self) -> None:
        """Write it down."""
        self.lines.append("ready")

    def restarting(self, child: Child, why: str, seconds: float) -> None:
        """Write it down."""
        self.lines.append(f"{child.name} {why} {seconds:g}")

    def ended(self, child: Child) -> None:
        """Keep who."""
        self.gone.append(child.name)

    def stopping(self) -> None:
        """Write it down."""
        self.lines.append("stopping")

    def fault(self, message: str) -> None:
        """Write it down."""
        self.lines.append(message)


class House:
    """Two workers, one gateway, one control process, and the watch over them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sent: list[str] = []
        self.log = Log()
        kinds = {
            "digits-0": Kind.WORKER,
            "digits-1": Kind.WORKER,
            "gateway-0": Kind.GATEWAY,
            "control": Kind.CONTROL,
        }
        self.by_name = {
            name: Script(name, kind, self.clock, self.sent) for name, kind in kinds.items()
        }
        self.watch = Watch(
            list(self.by_name.values()), self.log, grace=30.0, patience=5.0, clock=self.clock
        )

    def begin(self, *, ready: bool = True) -> House:
        """Start all and, unless told otherwise, let all become ready."""
        self.watch.begin()
        if ready:
            for process in self.by_name.values():
                self.becomes_ready(process)
        return self

    def becomes_ready(self, process: Script) -> None:
        """Let *process* say that it is ready."""
        process.ready = True
        self.watch.became_ready()

    def ends(self, name: str, status: int) -> None:
        """Let the process *name* end."""
        self.watch.ended(self.by_name[name], status)

    def passes(self, seconds: float) -> None:
        """Let time pass, and what is due be done."""
        self.clock.now += seconds
        self.watch.tick()


def test_starts_all_and_reports_ready_once_the_last_one_is() -> None:
    """Ready means every process, and is reported once."""
    house = House().begin(ready=False)
    processes = list(house.by_name.values())
    assert [process.starts for process in processes] == [1, 1, 1, 1]
    for process in processes[:-1]:
        house.becomes_ready(process)
    assert house.log.lines == []
    house.becomes_ready(processes[-1])
    house.ends("control", KILLED)
    house.passes(1.0)
    house.becomes_ready(house.by_name["control"])
    assert house.log.lines.count("ready") == 1


def test_starts_again_what_dies_while_serving() -> None:
    """Each kind is restarted after its backoff, not before, and the reason is reported."""
    house = House().begin()
    for name in house.by_name:
        house.ends(name, KILLED)
    house.passes(0.05)
    assert [process.starts for process in house.by_name.values()] == [1, 1, 1, 1]
    house.passes(0.06)
    assert [process.starts for process in house.by_name.values()] == [2, 2, 2, 2]
    assert house.log.lines[1:] == [f"{name} SIGKILL 0.1" for name in house.by_name]
    assert house.log.gone == list(house.by_name)


def test_restarts_even_what_refuses_its_input_while_serving() -> None:
    """A model file that is being replaced may be bad for a moment; the rest serves on."""
    house = House().begin()
    house.ends("digits-0", EXIT_2)
    house.passes(0.1)
    assert house.by_name["digits-0"].starts == 2
    assert house.watch.phase is Phase.SERVING


def test_a_restart_that_the_system_refuses_is_tried_again() -> None:
    """No memory for a new process now is no reason to end the others."""
    house = House().begin()
    worker = house.by_name["digits-0"]
    worker.broken = True
    house.ends("digits-0", KILLED)
    house.passes(0.1)
    assert house.log.lines[-1] == "digits-0 digits-0: Cannot allocate memory 0.2"
    worker.broken = False
    house.passes(0.2)
    assert worker.starts == 2


def test_due_is_the_next_restart() -> None:
    """The loop sleeps until something is due, and for ever where nothing is."""
    house = House().begin()
    assert house.watch.due() is None
    house.ends("control", KILLED)
    assert house.watch.due() == 0.1


def test_bad_input_at_start_ends_all_with_code_2() -> None:
    """The process has said what was wrong; nothing is added and nothing is tried again."""
    house = House().begin(ready=False)
    house.ends("digits-1", EXIT_2)
    assert house.log.lines == ["stopping"]
    assert sorted(house.sent) == ["SIGTERM control", "SIGTERM digits-0", "SIGTERM gateway-0"]
    for name in ("digits-0", "gateway-0", "control"):
        assert house.watch.code is None
        house.ends(name, int(signal.SIGTERM))
    assert house.watch.code == 2


def test_a_crash_at_start_ends_all_with_code_1_and_names_it() -> None:
    """An exit code that is nobody's refusal is a fault of the program."""
    house = House().begin(ready=False)
    house.ends("gateway-0", EXIT_1)
    assert house.log.lines[0] == "gateway-0 ended before it was ready: exit-1"
    for name in ("digits-0", "digits-1", "control"):
        house.ends(name, EXIT_0)
    assert house.watch.code == 1


def test_signals_at_start_are_forgiven_twice() -> None:
    """A process shot by chance while it starts gets another try, one that always dies does not."""
    house = House().begin(ready=False)
    for _ in range(2):
        house.ends("digits-0", KILLED)
        house.passes(1.0)
    assert house.by_name["digits-0"].starts == 3
    house.ends("digits-0", KILLED)
    assert house.log.lines[-2] == "digits-0 ended before it was ready: SIGKILL"
    assert house.watch.phase is Phase.STOPPING


def test_a_start_that_takes_too_long_names_who_is_late() -> None:
    """After the start timeout all is ended, and the message says what was waited for."""
    house = House().begin(ready=False)
    for name in ("digits-0", "gateway-0", "control"):
        house.becomes_ready(house.by_name[name])
    assert house.watch.due() == 60.0
    house.passes(60.0)
    assert house.log.lines[0] == "not ready after 60 s: digits-1"
    assert len(house.sent) == 4


def test_a_program_that_cannot_be_started_ends_the_start() -> None:
    """What follows it is not even tried."""
    house = House()
    house.by_name["digits-1"].broken = True
    house.begin(ready=False)
    assert house.log.lines[0] == ("digits-1 cannot be started: digits-1: Cannot allocate memory")
    assert house.by_name["gateway-0"].starts == 0
    house.ends("digits-0", EXIT_0)
    assert house.watch.code == 1


def test_drains_gateways_then_workers_then_control() -> None:
    """A worker hears of the end only when no gateway is left that may need it."""
    house = House().begin()
    house.watch.drain()
    assert house.sent == ["SIGTERM gateway-0"]
    house.ends("gateway-0", EXIT_0)
    assert house.sent[1:] == ["SIGTERM digits-0", "SIGTERM digits-1"]
    house.ends("digits-1", EXIT_0)
    assert len(house.sent) == 3
    house.ends("digits-0", EXIT_0)
    assert house.sent[3:] == ["SIGTERM control"]
    house.ends("control", EXIT_0)
    assert house.watch.code == 0
    assert house.log.lines == ["ready", "stopping"]


def test_a_worker_that_dies_while_gateways_drain_is_restarted() -> None:
    """Requests in flight may need it still."""
    house = House().begin()
    house.watch.drain()
    house.ends("digits-0", KILLED)
    house.passes(0.1)
    assert house.by_name["digits-0"].starts == 2


def test_a_restart_that_is_due_does_not_outlive_the_drain() -> None:
    """What is down when its turn to end comes stays down."""
    house = House().begin()
    house.ends("digits-0", KILLED)
    house.watch.drain()
    house.ends("gateway-0", EXIT_0)
    assert house.sent[1:] == ["SIGTERM digits-1"]
    house.passes(1.0)
    assert house.by_name["digits-0"].starts == 1


def test_what_does_not_end_in_its_time_is_killed() -> None:
    """Gateways get their grace and the patience on top, the others the patience."""
    house = House().begin()
    house.watch.drain()
    house.passes(34.9)
    assert house.sent == ["SIGTERM gateway-0"]
    house.passes(0.2)
    assert house.sent[1:] == ["SIGKILL gateway-0"]
    house.ends("gateway-0", KILLED)
    house.passes(5.0)
    assert house.sent[-2:] == ["SIGKILL digits-0", "SIGKILL digits-1"]
    house.ends("digits-0", KILLED)
    house.ends("digits-1", KILLED)
    house.ends("control", EXIT_0)
    assert house.watch.code == 1
    assert "gateway-0 did not end in time: killed" in house.log.lines


def test_a_second_request_to_stop_kills_all_at_once() -> None:
    """The operator has waited long enough; requests may be lost, so the exit code is 1."""
    house = House().begin()
    house.watch.drain()
    house.passes(0.25)
    house.watch.drain()
    assert sorted(house.sent[1:]) == [
        "SIGKILL control",
        "SIGKILL digits-0",
        "SIGKILL digits-1",
        "SIGKILL gateway-0",
    ]
    for name in house.by_name:
        assert house.watch.code is None
        house.ends(name, KILLED)
    assert house.watch.code == 1


def test_an_echo_of_the_request_to_stop_is_no_second_one() -> None:
    """A terminal or a wrapper may deliver one signal twice, a moment apart."""
    house = House().begin()
    house.watch.drain()
    house.passes(0.2)
    house.watch.drain()
    assert house.sent == ["SIGTERM gateway-0"]


def test_can_be_stopped_while_it_starts() -> None:
    """A stop before all is ready is as clean as one after."""
    house = House().begin(ready=False)
    house.watch.drain()
    for name in ("gateway-0", "digits-0", "digits-1", "control"):
        house.ends(name, EXIT_0)
    assert house.watch.code == 0
    assert "ready" not in house.log.lines


def test_a_reload_is_passed_on_to_the_control_process() -> None:
    """It alone knows what to do."""
    house = House().begin()
    house.watch.reload()
    assert house.sent == ["SIGHUP control"]


def test_a_reload_waits_for_a_control_process_that_is_ready() -> None:
    """The signal would end one that has only just been started."""
    house = House().begin()
    house.by_name["control"].ready = False
    house.watch.reload()
    house.watch.reload()
    assert house.sent == []
    house.becomes_ready(house.by_name["control"])
    assert house.sent == ["SIGHUP control"]


def test_a_reload_during_the_start_follows_it() -> None:
    """What is edited while all starts is not lost."""
    house = House().begin(ready=False)
    house.watch.reload()
    assert house.sent == []
    for process in house.by_name.values():
        house.becomes_ready(process)
    assert house.sent == ["SIGHUP control"]
