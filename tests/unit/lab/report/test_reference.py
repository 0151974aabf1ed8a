# SPDX-License-Identifier: Apache-2.0
"""The page of the report's fields, beside the structs."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from gateway.lab.account import bottleneck
from gateway.lab.account.account import Account
from gateway.lab.report.document import Report
from gateway.lab.search.evidence import Condition, Judgement
from gateway.lab.search.knee import Knees
from gateway.lab.search.limit import Ending, Limit
from gateway.lab.search.point import Point
from tests.support.tree import ROOT

PAGE = (ROOT / "docs" / "reference" / "bench-report.md").read_text()


@pytest.mark.parametrize("struct", [Report, Limit, Knees, Judgement, Condition, Account])
def test_every_field_is_explained(struct: type[msgspec.Struct]) -> None:
    """By its name, in code."""
    missing = [name for name in struct.__struct_fields__ if f"`{name}`" not in PAGE]
    assert missing == []


def test_every_figure_of_a_point_is_named() -> None:
    """Percentiles as a range."""
    percentiles = {"p50", "p90", "p95", "p99", "p999"}
    missing = [
        name for name in Point.__struct_fields__ if f"`{name}`" not in PAGE
    ]  # fmt: skip
    assert set(missing) <= percentiles


def test_every_ending_and_every_rule_is_explained() -> None:
    """Also those that few ever see."""
    source = (ROOT / "gateway" / "lab" / "account" / "bottleneck.py").read_text()
    rules = [
        name for name in ("generator", "others", "errors", "attempts", "model", "gateway",
                          "disturbance", "machine", "gateway_core", "worker_core", "shedding",
                          "loop", "cache", "nothing")
        if f'"{name}"' in source
    ]  # fmt: skip
    assert len(rules) == 14
    assert [name for name in (*rules, *get_args(Ending)) if f"`{name}`" not in PAGE] == []
    assert bottleneck.LARGE == 0.3
    assert bottleneck.FULL_CORE == bottleneck.FULL_MACHINE == 0.9
