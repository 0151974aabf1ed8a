# SPDX-License-Identifier: Apache-2.0
"""The alert rules that are shipped use metrics, labels and outcomes that there are."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from gateway.telemetry import Telemetry
from tests.support.tree import ROOT

FILES = sorted((ROOT / "config" / "prometheus").glob("*.yaml"))
ENDINGS = ("_bucket", "_sum", "_count")


def rules() -> list[Any]:
    """Every rule of every file, named for a failure."""
    found = []
    for file in FILES:
        for group in yaml.safe_load(file.read_text())["groups"]:
            found += [
                pytest.param(rule, id=f"{file.stem}-{rule['alert']}") for rule in group["rules"]
            ]
    return found


@pytest.mark.parametrize("rule", rules())
def test_a_rule_stands_on_metrics_that_there_are(rule: dict[str, Any]) -> None:
    """Each name is a family's, and each label in its braces is one of that family's."""
    families = Telemetry().families
    used = re.findall(r"\b(infergate_\w+)(?:\{([^}]*)\})?", rule["expr"])
    assert used
    for name, selector in used:
        stems = (name, *(name.removesuffix(end) for end in ENDINGS))
        family = next((families[stem] for stem in stems if stem in families), None)
        assert family is not None, name
        labels = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)
        assert set(labels) <= set(family.labels), (name, labels)
    for clause in re.findall(r"\b(?:on|by) \(([^)]*)\)", rule["expr"]):
        wanted = {label.strip() for label in clause.split(",")}
        assert all(wanted <= set(families[name].labels) for name, _ in used), clause


@pytest.mark.parametrize("rule", rules())
def test_a_rule_says_what_happened_and_what_to_do(rule: dict[str, Any]) -> None:
    """A page without words helps nobody; what it tells of itself is a label that it has."""
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    assert rule["expr"].count("(") == rule["expr"].count(")")
    assert rule["expr"].count("{") == rule["expr"].count("}")


def test_there_are_rules() -> None:
    """The directory is not empty, and every rule has a name of its own."""
    names = [each.values[0]["alert"] for each in rules()]
    assert len(names) >= 8
    assert len(set(names)) == len(names)
