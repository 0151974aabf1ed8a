# SPDX-License-Identifier: Apache-2.0
"""Two deployments beside each other, and a result beside a stored one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from gateway.lab import LabError
from gateway.lab.load.run import Run
from gateway.lab.search.against import compare
from gateway.lab.search.gate import check
from tests.support.md1 import Md1
from tests.support.runs import run_of


def _at(
    server: Md1, order: list[str], name: str, *, rate: float = 700.0, offset: int = 0
) -> tuple[str, Callable[[int], Awaitable[Run]]]:
    async def measure(number: int) -> Run:
        order.append(name)
        return await server(rate, 20, 10 * number + offset)

    return name, measure


@pytest.mark.parametrize("draw", range(5))
async def test_two_equal_ones_are_not_different(draw: int) -> None:
    """Over five rounds that alternate."""
    order: list[str] = []
    server = Md1(0.001)
    found = await compare(
        _at(server, order, "a", offset=1000 * draw), _at(server, order, "b", offset=1000 * draw + 5)
    )
    assert [one.says for one in found.ratios] == ["not different"] * 3
    assert "are not different within 2 %" in found.sentence
    assert order == ["a", "b", "b", "a", "a", "b", "b", "a", "a", "b"]


async def test_a_slower_one_is_told_with_its_ratio() -> None:
    """A fifth more service at 70 % load: the interval holds what a long run gives."""
    order: list[str] = []
    first, slow = Md1(0.001), Md1(0.0012)
    truth = (await slow(700, 2000, 1)).percentile(50) / (await first(700, 2000, 1)).percentile(50)
    found = await compare(_at(first, order, "a"), _at(slow, order, "b"))
    throughput, p50, p99 = found.ratios
    assert (throughput.says, p50.says, p99.says) == ("not different", "worse", "worse")
    assert p50.lower < truth < p50.upper
    assert "b, beside a: p50 is" in found.sentence
    assert "higher (worse; +" in found.sentence


async def test_no_answers_in_a_round_cannot_be_compared() -> None:
    """A ratio to nothing is none."""

    async def none(_: int) -> Run:
        return run_of([[]], errors=[10])

    found = await compare(_at(Md1(0.001), [], "a"), ("b", none))
    assert {one.says for one in found.ratios} == {"unknown"}
    assert "could not be compared" in found.sentence


async def test_two_rounds_are_too_few() -> None:
    """Asked for, or left when a person ends it."""
    one = _at(Md1(0.001), [], "a")
    with pytest.raises(LabError, match="2 rounds: expected 3 or more"):
        await compare(one, one, rounds=2)
    with pytest.raises(LabError, match="ended after 0 rounds"):
        await compare(one, one, stopped=lambda: True)


async def _runs(service: float, seed: int, count: int = 3) -> list[Run]:
    server = Md1(service)
    return [await server(700, 20, seed + number) for number in range(count)]


@pytest.mark.parametrize("count", [1, 3])
async def test_gate_passes_what_is_as_before(count: int) -> None:
    """By runs' spread, and by the interval of a single run."""
    found = check(
        await _runs(0.001, 1, count), await _runs(0.001, 50, count), baseline="b", tolerance=0.2
    )
    assert found.passed
    assert found.sentence == "no figure is proven worse than b by 20 %"
    assert found.repeats == (count, count)


@pytest.mark.parametrize("count", [1, 3])
async def test_gate_holds_what_became_slower(count: int) -> None:
    """Three tenths more service time."""
    found = check(await _runs(0.0013, 1, count), await _runs(0.001, 50, count), baseline="b")
    assert not found.passed
    assert {one.figure for one in found.checks if one.regressed} >= {"p50", "p99"}
    assert "slower than b by more than 10 %: p50 x" in found.sentence


def test_gate_holds_what_fails_more_often() -> None:
    """One request in fifty is refused that was not before; the others are as quick."""
    before, now = [run_of([[0.001] * 1000] * 5)], [run_of([[0.001] * 980] * 5, errors=[20] * 5)]
    found = check(now, before, baseline="b")
    assert [one.figure for one in found.checks if one.regressed] == ["answered"]


def test_gate_holds_what_no_longer_answers() -> None:
    """No throughput is worse than any."""
    found = check([run_of([[]], errors=[9])], [run_of([[0.001] * 9])], baseline="b")
    assert not found.passed


def test_gate_refuses_what_is_not_alike() -> None:
    """Another rate is another question."""
    with pytest.raises(LabError, match=r"with rate 50\.0, this run with 100\.0"):
        check([run_of([[0.1]])], [run_of([[0.1]], rate=50.0)], baseline="b")
