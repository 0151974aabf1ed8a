# SPDX-License-Identifier: Apache-2.0
"""A model's policy: by its name, or by its name with options."""

from __future__ import annotations

from random import Random
from time import perf_counter
from typing import Any

import msgspec
import pytest
import yaml
from jsonschema import Draft202012Validator

from gateway.config.load import read
from gateway.config.schema import schema
from gateway.errors import ConfigError
from gateway.upstream.policy import POLICIES

VALIDATOR = Draft202012Validator(schema())


def text(policy: str) -> str:
    """A configuration with this *policy*."""
    return f"models: {{a: {{backends: [{{address: 'unix:x'}}], policy: {policy}}}}}"


def bound(policy: str, **environment: str) -> Any:
    """The section that *policy* becomes."""
    config = read(text(policy), name="f", environment=environment, files=False)
    return config.models["a"].policy


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_can_be_named(name: str) -> None:
    """Alone, with options, and from the environment; the schema agrees."""
    for policy in (name, f"{{{name}: {{}}}}"):
        assert bound(policy) == POLICIES[name]()
        assert VALIDATOR.is_valid(yaml.safe_load(text(policy)))
    assert bound("'${POLICY}'", POLICY=name) == POLICIES[name]()
    assert bound(name).make(rng=Random(1), clock=perf_counter)


def test_options_reach_the_policy() -> None:
    """With their units."""
    assert bound("{peak_ewma: {decay: 250ms}}").decay == 0.25
    policy = bound("{consistent_hash: {header: X-User, factor: 2}}").make(
        rng=Random(1), clock=perf_counter
    )
    assert repr(policy) == "<ConsistentHash x-user factor=2>"


def test_the_configuration_in_effect_names_it() -> None:
    """Options alone would not say whose they are."""
    assert msgspec.to_builtins(bound("peak_ewma")) == {"name": "peak_ewma", "decay": 10.0}


@pytest.mark.parametrize(
    ("policy", "fault"),
    [
        ("least_outstandin", "models.a.policy: expected least_outstanding or "),
        ("least_outstandin", "; did you mean least_outstanding?"),
        ("{peak_ewme: {}}", "models.a.policy.peak_ewme: unknown name; did you mean peak_ewma?"),
        ("{nothing_like_it: {}}", "unknown name; expected one of least_outstanding, "),
        ("{peak_ewma: {decoy: 1s}}", "peak_ewma.decoy: unknown key; did you mean decay?"),
        ("{peak_ewma: {decay: 0s}}", "peak_ewma.decay: expected at least 1ms"),
        ("{consistent_hash: {header: 'x user'}}", "consistent_hash.header: expected "),
        ("{consistent_hash: {factor: 0.5}}", "factor: expected at least 1, got 0.5"),
        ("{round_robin: }", "round_robin: is empty; expected a mapping"),
        ("{round_robin: {}, peak_ewma: {}}", "expected a name, or one with options: {NAME: {…}}"),
        ("[round_robin]", "expected a name, or one with options: {NAME: {…}}"),
        ("{}", "expected a name, or one with options: {NAME: {…}}"),
    ],
)
def test_a_fault_says_what_would_be_right(policy: str, fault: str) -> None:
    """With the place; the schema refuses it too, though it knows no bounds of a duration."""
    with pytest.raises(ConfigError) as caught:
        bound(policy)
    assert fault in str(caught.value)
    assert VALIDATOR.is_valid(yaml.safe_load(text(policy))) is ("0s" in policy)
