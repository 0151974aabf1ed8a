# SPDX-License-Identifier: Apache-2.0
"""The rules that name what limits a deployment."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.lab.account.bottleneck import (
    DISTURBING,
    FEW,
    FEW_HITS,
    FULL_CORE,
    FULL_MACHINE,
    LARGE,
    LATE_LOOP,
    MANY_ATTEMPTS,
    findings,
)
from gateway.lab.account.facts import Facts

MACHINE: dict[str, Any] = {"busy": FULL_MACHINE, "cores": 2}
A_LITTLE = 0.001

# Facts that a rule applies to, the rule, and the least change that it does not apply to.
CASES: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"valid": False, "reasons": ("late",)}, "generator", {"valid": True}),
    (
        {**MACHINE, "valid": False, "generator_cores": 0.1},
        "others",
        {"generator_cores": 1.9},
    ),
    ({"errors": FEW + A_LITTLE}, "errors", {"errors": FEW}),
    ({"attempts": MANY_ATTEMPTS + A_LITTLE}, "attempts", {"attempts": MANY_ATTEMPTS}),
    (
        {**MACHINE, "all_worker_cores": 1.2, "gateway_cores": 0.5},
        "model",
        {"busy": FULL_MACHINE - A_LITTLE},
    ),
    ({**MACHINE, "all_worker_cores": 0.2, "gateway_cores": 0.5}, "gateway", {"busy": 0.5}),
    (
        {**MACHINE, "generator_cores": 0.45, "gateway_cores": 0.2},
        "disturbance",
        {"generator_cores": 0.1},
    ),
    (MACHINE, "machine", {"busy": 0.5}),
    ({"gateway_cores": FULL_CORE}, "gateway_core", {"gateway_cores": FULL_CORE - A_LITTLE}),
    (
        {"worker_cores": FULL_CORE, "workers": 1, "busy": 0.5, "cores": 4},
        "worker_core",
        {"worker_cores": FULL_CORE - A_LITTLE},
    ),
    ({"shed": FEW + A_LITTLE, "errors": FEW + A_LITTLE}, "shedding", {"shed": FEW, "errors": FEW}),
    ({"loop_lag": LATE_LOOP}, "loop", {"loop_lag": LATE_LOOP - A_LITTLE}),
    ({"hits": FEW_HITS}, "cache", {"hits": FEW_HITS + A_LITTLE}),
    (
        {"generator_cores": DISTURBING * 4, "cores": 4, "busy": 0.5},
        "disturbance",
        {"generator_cores": DISTURBING * 4 - A_LITTLE},
    ),
]
SPANS = [
    "client", "network", "gateway", "cache", "preprocess", "queue", "transport", "input",
    "inference", "output", "postprocess", "server",
]  # fmt: skip


@pytest.mark.parametrize(("facts", "rule", "changed"), CASES)
def test_a_rule_applies_from_its_threshold_on(
    facts: dict[str, Any], rule: str, changed: dict[str, Any]
) -> None:
    """And not before."""
    assert findings(Facts(**facts))[0].rule == rule
    assert rule not in {one.rule for one in findings(Facts(**(facts | changed)))}


@pytest.mark.parametrize("name", SPANS)
def test_the_largest_span_has_a_knob(name: str) -> None:
    """Each of them, in a sentence that says how large it is."""
    found = findings(Facts(shares={name: LARGE, "other": LARGE - A_LITTLE}, mean=0.02))
    assert found[0].rule == f"largest_{name}"
    assert "takes 30 % of the 20 ms of a mean response: " in str(found[0])


def test_where_nothing_stands_out_it_says_so() -> None:
    """With the two largest spans, or without any."""
    quiet = Facts(shares={"queue": 0.29, "network": 0.28, "inference": 0.2})
    assert str(findings(quiet)[0]) == (
        "nothing stands out: waiting for a free worker with 29 % and the way between client and "
        "server with 28 %: more load shows the limit (--slo)"
    )
    assert findings(Facts())[0].rule == "nothing"


@pytest.mark.parametrize(
    ("reason", "knob"), [("queue_full", "more workers"), ("loop_lag", "server.processes")]
)
def test_shedding_names_its_reason(reason: str, knob: str) -> None:
    """The one that sheds most."""
    found = findings(Facts(shed=0.2, errors=0.2, shed_reasons={reason: 9.0, "draining": 1.0}))
    assert f"20 % of the requests are refused for load ({reason})" in found[0].cause
    assert knob in found[0].knob


def test_the_most_telling_comes_first() -> None:
    """A generator at its end makes every other finding doubtful."""
    found = findings(Facts(valid=False, loop_lag=1.0, shares={"queue": 0.9}, mean=1.0))
    assert [one.rule for one in found] == ["generator", "loop", "largest_queue"]
