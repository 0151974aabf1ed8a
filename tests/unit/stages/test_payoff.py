# SPDX-License-Identifier: Apache-2.0
"""Payoff: when a cache is passed by, what is looked up all the same, and when it comes back."""

from __future__ import annotations

from itertools import count

import pytest

from gateway.stages.payoff import EVIDENCE, Payoff
from gateway.wire.tensor import Tensor


def questions(number: int, *, size: int = 64) -> list[tuple[Tensor, ...]]:
    """Inputs that all differ."""
    return [
        (Tensor("x", "UINT8", (1, size), n.to_bytes(4, "little") * (size // 4)),)
        for n in range(number)
    ]


def look(payoff: Payoff, times: int, *, hit: float, lookup: float, model: float) -> None:
    """So many look-ups, each of which found a share of *hit*."""
    for _ in range(times):
        payoff.ran(model)
        payoff.looked(lookup, hit=hit)


def test_a_cache_without_hits_is_passed_by() -> None:
    """Not before there is evidence: it begins empty."""
    payoff = Payoff()
    look(payoff, EVIDENCE - 1, hit=0.0, lookup=1e-5, model=1e-3)
    assert not payoff.idle
    look(payoff, 512, hit=0.0, lookup=1e-5, model=1e-3)
    assert payoff.idle


def test_a_few_hits_pay_for_a_slow_model_and_not_for_a_quick_one() -> None:
    """The break-even is ``h * model = look-up + (1 - h) * insert``."""
    slow, quick = Payoff(), Payoff()
    look(slow, 8192, hit=0.05, lookup=1e-5, model=1e-2)
    look(quick, 8192, hit=0.05, lookup=1e-5, model=1e-4)

    assert (slow.idle, quick.idle) == (False, True)


def test_storing_counts_too() -> None:
    """Each miss pays for it."""
    cheap, dear = Payoff(), Payoff()
    for payoff, seconds in ((cheap, 1e-6), (dear, 1e-3)):
        for _ in range(200):
            payoff.inserted(seconds)
        look(payoff, 8192, hit=0.05, lookup=1e-5, model=1e-2)

    assert (cheap.idle, dear.idle) == (False, True)


def test_it_comes_back_when_questions_repeat() -> None:
    """What is looked up all the same shows it."""
    payoff = Payoff()
    look(payoff, 8192, hit=0.0, lookup=1e-5, model=1e-3)
    assert payoff.idle
    look(payoff, 64 * 8, hit=0.9, lookup=1e-5, model=1e-3)
    assert not payoff.idle


def test_it_does_not_flutter_at_the_break_even() -> None:
    """A decision holds until the other side is clearly better."""
    payoff = Payoff()
    changes = 0
    before = payoff.idle
    for number in count():
        look(payoff, 1, hit=float(number % 100 < 2), lookup=2e-5, model=1e-3)
        changes += payoff.idle != before
        before = payoff.idle
        if number > 40_000:
            break
    assert changes <= 1


def test_always_is_always() -> None:
    """Whatever it costs."""
    payoff = Payoff(always=True)
    look(payoff, 10_000, hit=0.0, lookup=1.0, model=1e-6)
    assert not payoff.idle


def test_one_question_in_a_hundred_is_explored_and_always_the_same() -> None:
    """Else a repeat would never be seen as one."""
    payoff = Payoff()
    asked = questions(20_000)
    explored = [payoff.explores(inputs) for inputs in asked]

    assert 100 < sum(explored) < 320
    assert explored == [payoff.explores(inputs) for inputs in asked]


@pytest.mark.parametrize("size", [4, 4096, 1 << 16])
def test_large_inputs_are_told_apart_by_their_ends_and_middle(size: int) -> None:
    """Looking at all of them would cost as much as the look-up."""
    payoff = Payoff(explored=0.5)
    chosen = [payoff.explores(inputs) for inputs in questions(400, size=size)]
    assert 120 < sum(chosen) < 280


def test_all_inputs_decide() -> None:
    """Not the first alone."""
    payoff = Payoff(explored=0.5)
    (first,) = questions(1)[0]
    chosen = [payoff.explores((first, *inputs)) for inputs in questions(400)]
    assert 120 < sum(chosen) < 280


def test_state_is_readable() -> None:
    """All that the decision goes by."""
    payoff = Payoff()
    payoff.ran(0.001)
    assert repr(payoff) == ("<Payoff in use hits=0.0% lookup=0.0us insert=0.0us model=1000us>")
