# SPDX-License-Identifier: Apache-2.0
"""Choices: whose answers are golden, and who may be ejected."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.quality.probes.choice import choose, ejectable, expected_digest
from gateway.quality.probes.golden import Golden, golden_of
from gateway.wire.tensor import Tensor


def answers(*labels: int) -> Golden:
    """Golden answers with these classes."""
    return golden_of("d", 0.0, (Tensor.of("y", np.asarray(labels, np.int64)),))


@pytest.mark.parametrize(
    ("bound", "digests", "expected"),
    [
        ("a", ["b", "b"], "a"),
        ("", ["a", "b", "a"], "a"),
        ("", ["a"], "a"),
        ("", ["a", "b"], ""),
        ("", ["", ""], ""),
    ],
)
def test_the_expected_file_is_what_was_known_or_what_most_have(
    bound: str, digests: list[str], expected: str
) -> None:
    """Where neither says it, nobody is a stranger."""
    assert expected_digest(bound, digests) == expected


def test_most_endpoints_say_what_is_golden() -> None:
    """One that differs from two others does not."""
    first = choose({"a": answers(1, 2), "b": answers(1, 3), "c": answers(1, 3)}, {})
    assert (first.endpoint, first.undecided) == ("b", False)


def test_labels_decide_between_two() -> None:
    """The one that is right more often; without labels nobody may be called wrong."""
    two = {"a": answers(1, 2), "b": answers(1, 3)}
    assert choose(two, {"a": 0.5, "b": 1.0}) == ("b", False)
    assert choose(two, {}).undecided


@pytest.mark.parametrize(
    ("wrong", "able", "out", "most", "chosen"),
    [
        (["a"], ["a", "b"], [], 0.5, ["a"]),
        # Never the last one.
        (["a"], ["a"], [], 0.5, []),
        (["a", "b"], ["a", "b"], [], 1.0, ["a"]),
        # No more than half, those that are out already included.
        (["a", "b", "c"], ["a", "b", "c", "d"], [], 0.5, ["a", "b"]),
        (["b", "c"], ["a", "b", "c", "d"], ["a"], 0.5, ["b"]),
        # One may always be, whatever the share.
        (["a"], ["a", "b"], [], 0.1, ["a"]),
        (["a"], ["a", "b"], ["a"], 0.5, []),
    ],
)
def test_enough_endpoints_are_left(
    wrong: list[str], able: list[str], out: list[str], most: float, chosen: list[str]
) -> None:
    """Whatever is wrong with them."""
    assert ejectable(wrong, able=able, out=out, most=most) == chosen
