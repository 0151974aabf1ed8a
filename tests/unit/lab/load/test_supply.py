# SPDX-License-Identifier: Apache-2.0
"""Inputs are as different, and as often repeated, as the plan says."""

from collections import Counter

import pytest

from gateway.lab.load.supply import Blank, Supply, Template

TENS = tuple(b"%d" % digit for digit in range(10))
# Two rows of two digits each: 100 inputs a row, 50 of which in one request.
PAIR = Template(
    b"H", b"[00|00]", ((Blank(1, TENS), Blank(2, TENS)), (Blank(4, TENS), Blank(5, TENS))), count=2
)
PLAIN = Template(b"", b"plain")


def filled(supply: Supply) -> bytes:
    """The next request."""
    return supply.fill(supply.next()[0])


def test_every_variant_differs_in_every_row() -> None:
    """No row of one request is a row of another: a cache that knows rows finds none."""
    supply = Supply([PAIR], repeat=0.0)

    rows = Counter(
        row
        for _ in range(PAIR.variants)
        for row in filled(supply).removeprefix(b"H[").removesuffix(b"]").split(b"|")
    )

    assert PAIR.variants == 50
    assert len(rows) == 100
    assert set(rows.values()) == {1}


def test_shares_make_no_input_twice() -> None:
    """Several processes number their inputs by turns."""
    parts = [Supply([PAIR], repeat=0.0, share=share, shares=3, salt=77) for share in range(3)]

    made = [filled(part) for _ in range(16) for part in parts]

    assert len(set(made)) == 48


def test_another_salt_begins_elsewhere() -> None:
    """A second run does not find its first inputs in the cache."""
    first, second = (filled(Supply([PAIR], repeat=0.0, salt=salt)) for salt in (1, 20))

    assert first != second


def test_data_as_it_is_goes_round() -> None:
    """Without a share of repeats nothing is changed, and the second round was sent before."""
    supply = Supply([PAIR, PLAIN], repeat=None)

    made = [(supply.fill(number), seen) for number, seen in (supply.next() for _ in range(3))]

    assert made == [(b"H[00|00]", False), (b"plain", False), (b"H[00|00]", True)]


@pytest.mark.parametrize("repeat", [0.2, 1.0])
def test_the_share_of_repeats_is_kept(repeat: float) -> None:
    """What is told to be seen before is among what was sent first."""
    big = Template(b"", b"0000", (tuple(Blank(place, TENS) for place in range(4)),))
    supply = Supply([big], repeat=repeat, repeated=8, salt=5)
    primes = {supply.fill(number) for number in supply.primes()}

    told = [supply.next() for _ in range(5_000)]
    made = [(supply.fill(number), before) for number, before in told]

    seen = [payload for payload, before in made if before]
    fresh = [payload for payload, before in made if not before]
    assert len(primes) == 8
    assert set(seen) == primes
    assert len(seen) / len(made) == pytest.approx(repeat, abs=0.02)
    assert len(set(fresh)) == len(fresh)
    assert primes.isdisjoint(fresh)


def test_exhausted_inputs_are_told_as_repeats() -> None:
    """A model with few inputs cannot be asked for ever new ones, and the run says so."""
    supply = Supply([Template(b"", b"0", ((Blank(0, TENS),),))], repeat=0.0)

    told = [supply.next()[1] for _ in range(25)]

    assert told == [False] * 10 + [True] * 15


def test_a_template_without_slots_has_one_input() -> None:
    """Text that cannot be varied is sent as it is."""
    assert PLAIN.variants == 1
    assert filled(Supply([PLAIN], repeat=0.0)) == b"plain"
