# SPDX-License-Identifier: Apache-2.0
"""The search for the highest rate, over servers in virtual time."""

from __future__ import annotations

import pytest

from gateway.lab.load.run import Health, Run
from gateway.lab.search.limit import Method, Progress, find
from gateway.lab.search.probe import Probe, Timing, is_sound, probe
from gateway.lab.search.slo import Slo
from tests.support.md1 import Md1, capacity, tail

SLO = Slo.parse("p99=20ms")
# Of a server that takes 1 ms for each request.
CAPACITY = capacity(0.001, 0.02, 0.99)
LONG = Timing(5, 640)


def test_the_known_capacity_is_that_of_the_formula() -> None:
    """Beside the mean wait of Pollaczek and Khinchine, by its integral, and the exact 99th."""
    rate, service = 900.0, 0.001
    step = 0.0002
    wait = sum(tail(rate, service, service + (k + 0.5) * step) for k in range(250)) * step
    assert wait == pytest.approx(0.9 * service / (2 * 0.1), rel=1e-2)
    assert tail(CAPACITY, service, 0.02) == pytest.approx(0.01, rel=1e-6)


async def test_the_virtual_server_is_such_a_queue() -> None:
    """As many are beyond the bound as the formula says."""
    run = await Md1(0.001)(CAPACITY, 1000, 7)
    assert run.over(0.02) / run.offered == pytest.approx(0.01, rel=0.2)


async def test_finds_the_capacity_within_three_per_cent() -> None:
    """And says between which rates it lies."""
    found = await find(Md1(0.001), SLO, Method(start=100, timing=LONG, resolution=0.01))
    assert found.ending == "resolved"
    assert found.rate == pytest.approx(CAPACITY, rel=0.03)
    assert found.upper is not None
    assert found.rate <= CAPACITY <= found.upper
    assert found.estimate == pytest.approx(CAPACITY, rel=0.02)
    confirmed = found.confirmed
    assert confirmed is not None
    assert len(confirmed.points) == 5
    assert confirmed.judgement.verdict == "pass"
    low, high = found.operating
    assert (low, high) == pytest.approx((0.7 * found.rate, 0.8 * found.rate))
    assert found.peak == pytest.approx(1000, rel=0.02)
    waiting = found.waiting(high)
    assert waiting is not None
    assert 0.2 < waiting < 0.5


async def test_goes_down_where_the_start_is_too_much() -> None:
    """A start at three times the capacity ends where one at a tenth does."""
    found = await find(Md1(0.001), SLO, Method(start=2700, timing=Timing(5, 80)))
    assert found.rate == pytest.approx(CAPACITY, rel=0.1)
    assert found.rate <= CAPACITY


async def test_says_that_no_rate_keeps_an_slo() -> None:
    """A server that takes longer than the bound for a single request."""
    found = await find(Md1(0.05), SLO, Method(start=10))
    assert (found.rate, found.ending, found.confirmations) == (0, "nothing", [])
    assert found.upper is not None


async def test_errors_break_an_slo_at_any_rate() -> None:
    """They count against percentiles as well."""
    found = await find(Md1(0.001, failing=0.03), SLO, Method(start=100))
    assert found.rate == 0
    assert found.probes[0].judgement.reason.startswith("p99 <= 20ms")


async def test_the_end_of_the_generator_is_not_that_of_the_server() -> None:
    """What could not be sent proves nothing: the search ends with what passed below."""
    server = Md1(0.001)

    async def weak(rate: float, seconds: float, seed: int) -> Run:
        run = await server(rate, seconds, seed)
        if rate > 500:
            run.valid, run.reasons = False, ["the generator was late"]
            run.lag.record_seconds(0.01, 100)
        return run

    found = await find(weak, SLO, Method(start=100))
    assert found.ending == "generator"
    assert found.upper is None
    assert found.rate == pytest.approx(337.5)
    assert found.probes[-1].outcome == "invalid"


async def test_one_bad_moment_of_the_generator_is_tried_again() -> None:
    """Only a second one in a probe ends it."""
    server = Md1(0.001)

    async def stumbles(rate: float, seconds: float, seed: int) -> Run:
        run = await server(rate, seconds, seed)
        run.valid = server.runs != 1
        run.lag.record_seconds(0.0 if run.valid else 0.01, 100)
        return run

    found = await probe(stumbles, 400, SLO, confidence=0.99, timing=Timing(20, 40), seed=1)
    assert (found.outcome, server.runs) == ("pass", 2)


@pytest.mark.parametrize(
    ("lag", "cpu", "sound"), [(0.0019, 0.2, True), (0.0025, 0.2, False), (0.0, 0.95, False)]
)
async def test_lateness_that_cannot_matter_is_no_fault(
    lag: float,
    cpu: float,
    sound: bool,  # noqa: FBT001 - what is expected
) -> None:
    """A tenth of the bound is harmless, though it is much beside the server's median."""
    run = await Md1(0.001)(400, 20, 1)
    assert is_sound(run, SLO)
    run.valid, run.reasons, run.health = False, ["late"], [Health(cpu=cpu)]
    run.lag.record_seconds(lag, 100)
    assert is_sound(run, SLO) is sound

    async def late(rate: float, seconds: float, seed: int) -> Run:
        return run

    found = await probe(late, 400, SLO, confidence=0.99, timing=Timing(20, 20), seed=1)
    assert found.outcome == ("pass" if sound else "invalid")
    assert found.point.valid is sound


async def test_a_winner_that_was_lucky_is_stepped_down_from() -> None:
    """Confirmations fail above 600: what is reported is below."""
    server = Md1(0.001)
    confirming = False

    class Watching(Progress):
        def confirming(self, rate: float, number: int) -> None:
            nonlocal confirming
            confirming = True

    async def fickle(rate: float, seconds: float, seed: int) -> Run:
        return await server(2 * rate if confirming and rate > 600 else rate, seconds, seed)

    found = await find(fickle, SLO, Method(start=100), progress=Watching())
    refused = [one for one in found.confirmations if not one.confirmed]
    assert refused
    assert all(one.rate > 600 for one in refused)
    assert "breaks p99 <= 20ms" in refused[0].reason
    assert 300 < found.rate <= 600


async def test_what_was_probed_is_kept_when_a_person_ends_it() -> None:
    """The third probe is the last, and nothing is claimed."""
    probed: list[Probe] = []

    class Watching(Progress):
        def probed(self, found: Probe) -> None:
            probed.append(found)

    found = await find(
        Md1(0.001), SLO, Method(start=100), progress=Watching(), stopped=lambda: len(probed) > 2
    )
    assert (found.ending, found.rate) == ("stopped", 0)
    assert len(found.probes) == len(probed) == 3


async def test_each_look_pays_for_itself() -> None:
    """Four looks share the error, so the first proof takes more than 459 requests."""
    assert Timing(5, 40).looks == 4
    found = await probe(
        Md1(0.001, warmup=0), 95, SLO, confidence=0.99, timing=Timing(5, 40), seed=3
    )
    assert found.outcome == "pass"
    assert found.judgement.confidence == pytest.approx(0.9975)
    assert found.point.requests > 597
