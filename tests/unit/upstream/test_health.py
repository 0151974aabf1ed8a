# SPDX-License-Identifier: Apache-2.0
"""Liveness and ejection: decisions over scripted time."""

from __future__ import annotations

from random import Random

import pytest

from gateway.upstream.health import Ejection, Liveness
from tests.support.upstream import Clock


@pytest.fixture(name="clock")
def make_clock() -> Clock:
    """Time that stands still."""
    return Clock()


def fail(ejection: Ejection, times: int) -> list[str | None]:
    """What each of *times* failures says."""
    return [ejection.failed() for _ in range(times)]


def steady(clock: Clock, **options: float) -> Ejection:
    """An ejection without jitter that only counts failures in a row."""
    return Ejection(clock=clock, jitter=0, min_volume=10**6, **options)  # type: ignore[arg-type]


# Liveness.


def test_is_down_until_the_worker_says_hello() -> None:
    """Nobody is sent to an address that has not answered."""
    liveness = Liveness()
    assert repr(liveness) == "<Liveness down streak=0>"
    liveness.connected()
    assert repr(liveness) == "<Liveness up streak=0>"


def test_goes_down_after_some_bad_probes_in_a_row() -> None:
    """One good probe in between starts the count again."""
    liveness = Liveness(fall=3)
    liveness.connected()
    assert [liveness.probed(good=good) for good in (False, False, True, False, False)] == [
        False
    ] * 5
    assert repr(liveness) == "<Liveness up streak=2>"
    assert liveness.probed(good=False)
    assert repr(liveness) == "<Liveness down streak=0>"


def test_comes_up_after_some_good_probes_in_a_row() -> None:
    """Slower to trust than a hello, which follows a warm-up."""
    liveness = Liveness(rise=2)
    assert [liveness.probed(good=good) for good in (True, False, True, True)] == [
        False, False, False, True,
    ]  # fmt: skip
    assert liveness.up


def test_goes_down_at_once_with_the_connection() -> None:
    """No probe is needed to know."""
    liveness = Liveness()
    liveness.connected()
    liveness.probed(good=False)
    liveness.disconnected()
    assert not liveness.up
    assert not liveness.in_transition


# Ejection.


def test_allows_requests_as_long_as_they_succeed(clock: Clock) -> None:
    """The usual state costs nothing and says yes."""
    ejection = Ejection(clock=clock)
    assert not ejection.sent()
    assert not ejection.succeeded()
    assert ejection.allows()
    assert repr(ejection) == "<Ejection closed in_row=0 times=0>"


def test_is_due_after_failures_in_a_row(clock: Clock) -> None:
    """A success in between starts the count again."""
    ejection = steady(clock, consecutive=3)
    assert fail(ejection, 2) == [None, None]
    ejection.succeeded()
    assert fail(ejection, 3) == [None, None, "consecutive"]


def test_stays_due_while_the_pool_says_no(clock: Clock) -> None:
    """Each further failure asks again."""
    assert fail(steady(clock, consecutive=2), 4) == [None, *["consecutive"] * 3]


def test_is_due_at_a_high_rate_of_failures(clock: Clock) -> None:
    """Half of at least ten results."""
    ejection = Ejection(clock=clock, consecutive=99, error_rate=0.5, min_volume=10)
    said = []
    for _ in range(5):
        ejection.succeeded()
        said.append(ejection.failed())
    assert said == [None, None, None, None, "error_rate"]


def test_old_results_do_not_count(clock: Clock) -> None:
    """The rate is that of the window."""
    ejection = Ejection(clock=clock, consecutive=99, min_volume=4, window=10)
    assert fail(ejection, 3) == [None] * 3
    clock.now += 11
    assert fail(ejection, 3) == [None] * 3
    assert fail(ejection, 1) == ["error_rate"]


def test_a_tolerable_rate_never_ejects(clock: Clock) -> None:
    """One failure in ten, for minutes: where a window ends, successes are not forgotten first."""
    ejection = Ejection(clock=clock, consecutive=99, error_rate=0.5, min_volume=10, window=10)
    for number in range(10_000):
        clock.now += 0.02
        if number % 10:
            ejection.succeeded()
        else:
            assert ejection.failed() is None


def test_a_rate_that_turns_bad_is_noticed_within_a_window(clock: Clock) -> None:
    """Successes of long ago do not outweigh the failures of now."""
    ejection = Ejection(clock=clock, consecutive=999, error_rate=0.5, min_volume=10, window=10)
    for _ in range(1000):
        clock.now += 0.1
        ejection.succeeded()
    due = None
    began = clock.now
    while due is None:
        clock.now += 0.1
        due = ejection.failed()
    assert due == "error_rate"
    assert clock.now - began <= 10


def test_takes_it_out_for_its_time_and_lets_one_probe_go(clock: Clock) -> None:
    """Open, then half-open: one request decides, and others wait for it."""
    ejection = steady(clock, base=2)
    assert ejection.eject() == 2
    assert not ejection.allows()
    clock.now += 2
    assert ejection.allows()
    assert ejection.sent()
    assert not ejection.allows()
    assert ejection.succeeded(probe=True)
    assert ejection.allows()
    assert ejection.until is None


def test_a_failed_probe_ejects_for_longer(clock: Clock) -> None:
    """1, 2, 4 … seconds, at most *most*; a success starts again at the first."""
    ejection = steady(clock, base=1, most=5)
    times = []
    for _ in range(4):
        times.append(ejection.eject())
        clock.now += times[-1]
        probe = ejection.sent()
        assert ejection.failed(probe=probe) == "probe"
    assert times == [1, 2, 4, 5]
    ejection.eject()
    clock.now += 5
    ejection.succeeded(probe=ejection.sent())
    assert ejection.eject() == 1


def test_times_are_spread(clock: Clock) -> None:
    """Workers ejected together do not come back together."""
    times = {Ejection(clock=clock, rng=Random(seed)).eject() for seed in range(20)}
    assert len(times) == 20
    assert all(0.5 <= time <= 1.5 for time in times)


def test_a_dropped_probe_lets_another_one_go(clock: Clock) -> None:
    """A client that leaves says nothing of the endpoint."""
    ejection = steady(clock)
    ejection.eject()
    clock.now += 1
    ejection.dropped(probe=ejection.sent())
    assert ejection.allows()


@pytest.mark.parametrize("end", ["succeeded", "failed", "dropped"])
def test_what_was_sent_before_the_ejection_is_not_the_probe(clock: Clock, end: str) -> None:
    """A late answer neither ends the ejection nor takes the probe's place."""
    ejection = steady(clock)
    earlier = ejection.sent()
    ejection.eject()
    clock.now += 1
    probe = ejection.sent()
    assert getattr(ejection, end)(probe=earlier) in (None, False)
    assert ejection.probing
    assert ejection.until is not None
    assert ejection.succeeded(probe=probe)


def test_failures_while_it_is_out_change_nothing(clock: Clock) -> None:
    """What was in flight when it was ejected fails too, and must not eject it again."""
    ejection = steady(clock, consecutive=1)
    ejection.eject()
    assert fail(ejection, 9) == [None] * 9


def test_a_new_life_begins_with_a_clean_record(clock: Clock) -> None:
    """A restarted worker is not the one that failed."""
    ejection = steady(clock, consecutive=2)
    ejection.eject()
    ejection.failed()
    ejection.reset()
    assert ejection.allows()
    assert fail(ejection, 2) == [None, "consecutive"]
    assert ejection.eject() == 1
