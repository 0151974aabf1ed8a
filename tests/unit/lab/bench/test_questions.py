# SPDX-License-Identifier: Apache-2.0
"""What may be asked, and what not together."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.lab import LabError
from gateway.lab.bench.payload import rows_for
from gateway.lab.bench.questions import Questions, Sweep
from gateway.lab.load.run import Plan
from gateway.lab.search.slo import Slo
from gateway.wire.model import TensorSpec

OPEN = Plan(url="http://h", model="m", rate=10.0)
CLOSED = Plan(url="http://h", model="m", schedule="closed")
SLO = Slo.parse("p99=20ms")


def test_a_sweep_has_a_name_and_values() -> None:
    """Payload in bytes with their unit."""
    assert Sweep.parse("rate=0.5,10") == Sweep("rate", (0.5, 10.0))
    assert Sweep.parse("payload=1KiB,512B").values == (1024.0, 512.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("threads=1", "expected rate, concurrency, batch, payload and its values"),
        ("rate", "expected rate, concurrency, batch, payload and its values"),
        ("batch=a", "--sweep 'batch=a': could not convert string to float"),
        ("batch=1.5", "expected numbers above 0, got '1.5'"),
        ("rate=0", "expected numbers above 0, got '0'"),
        ("payload=5", "expected a size with its unit"),
    ],
)
def test_says_what_is_wrong_with_a_sweep(text: str, says: str) -> None:
    """One line."""
    with pytest.raises(LabError) as caught:
        Sweep.parse(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "plan", "says"),
    [
        (
            {"sweep": Sweep("batch", (1.0,)), "against": "http://b"},
            OPEN,
            "--sweep and --against: expected one of them",
        ),
        ({"baseline": "x", "against": "http://b"}, OPEN, "--baseline and --against"),
        ({"confidence": 99.0}, OPEN, "--confidence 99: expected a share such as 0.99"),
        ({"against": "http://b", "rounds": 2}, OPEN, "3 or more rounds"),
        ({"repeats": 0}, OPEN, "expected 1 or more repeats"),
        ({"tolerance": 0.0}, OPEN, "--tolerance 0: expected a share above 0"),
        ({"slo": Slo.parse("p99=10s")}, OPEN, "--timeout 10s: expected more than the SLO's 10s"),
        ({"scenario": "overload"}, OPEN, "--scenario overload: expected --slo too"),
        ({"scenario": "burst"}, CLOSED, "--scenario burst in a closed loop: expected --rate"),
        ({"sweep": Sweep("rate", (1.0,))}, CLOSED, "expected no --concurrency"),
        ({"sweep": Sweep("concurrency", (1.0,))}, OPEN, "expected no --rate"),
        (
            {"slo": SLO, "seeks_limit": True, "baseline": "x"},
            OPEN,
            "compare at one load: expected --rate or --concurrency",
        ),
    ],
)
def test_says_what_cannot_be_asked(asked: dict[str, Any], plan: Plan, says: str) -> None:
    """Before anything is sent."""
    with pytest.raises(LabError) as caught:
        Questions(**asked).check(plan)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "plan"),
    [
        ({}, CLOSED),
        ({"slo": SLO}, CLOSED),
        ({"slo": SLO, "seeks_limit": True, "scenario": "overload"}, OPEN),
        ({"sweep": Sweep("concurrency", (1.0, 2.0))}, CLOSED),
        ({"against": "http://b"}, OPEN),
        ({"baseline": "x", "repeats": 3, "slo": SLO}, OPEN),
    ],
)
def test_takes_what_can_be_answered(asked: dict[str, Any], plan: Plan) -> None:
    """A closed loop may have an SLO: the answer is that it says nothing of it."""
    Questions(**asked).check(plan)


def test_rows_that_make_a_payload() -> None:
    """The nearest number, at least one; open dimensions as the generator makes them up."""
    image = TensorSpec("image", "FP32", (-1, 64))
    assert rows_for([image], 1024, {}) == 4
    assert rows_for([image], 1, {}) == 1
    assert rows_for([image, TensorSpec("n", "INT64", (-1, -1))], 3840, {}) == 10
    assert rows_for([TensorSpec("n", "INT64", (-1, -1))], 800, {"n": (10,)}) == 10
    with pytest.raises(LabError, match="the model takes one row a request"):
        rows_for([TensorSpec("one", "FP32", (3, 224))], 10, {})
