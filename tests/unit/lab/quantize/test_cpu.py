# SPDX-License-Identifier: Apache-2.0
"""Which processors need weights of seven bits."""

from __future__ import annotations

import pytest

from gateway.lab.quantize.cpu import parse

_X86 = "processor\t: 0\nmodel name\t: A {0}\nflags\t\t: fpu sse avx2 {1}\n\nprocessor\t: 1\n"


@pytest.mark.parametrize(
    ("flags", "machine", "reduce", "halves"),
    [
        ("avx512f", "x86_64", True, False),
        ("avx_vnni", "x86_64", False, False),
        ("avx512_vnni avx512_fp16", "x86_64", False, True),
        ("", "aarch64", False, False),
    ],
)
def test_what_multiplies_bytes_exactly_needs_no_shorter_weights(
    flags: str, machine: str, *, reduce: bool, halves: bool
) -> None:
    """VNNI on x86; elsewhere sums have 32 bits."""
    cpu = parse(_X86.format("Xeon", flags), machine)

    assert (cpu.name, cpu.reduce_range, cpu.halves) == ("A Xeon", reduce, halves)


def test_the_features_of_arm_are_read_too() -> None:
    """They stand in another field."""
    cpu = parse("Features\t: fp asimd asimdhp asimddp\n", "aarch64")

    assert (cpu.bytes_exact, cpu.halves, cpu.name) == (True, True, "aarch64")


def test_an_unknown_x86_is_taken_for_an_old_one() -> None:
    """Shorter weights cost little, an overflow much."""
    assert parse("", "x86_64").reduce_range
