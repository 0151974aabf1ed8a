# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema says of a file what the loader says of it, as far as a schema can."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from gateway.config.load import read
from gateway.config.schema import DIALECT, schema
from gateway.errors import ConfigError
from tests.support.tree import ROOT

SCHEMA = schema()
FILES = sorted((ROOT / "config").glob("*.yaml"))
MODEL = "models: {a: {backends: [{address: 'unix:x'}]}}\n"


def valid(text: str) -> bool:
    """Whether the schema accepts *text*."""
    return Draft202012Validator(SCHEMA).is_valid(yaml.safe_load(text))


def test_schema_is_one() -> None:
    """It fits the dialect that it names, and can be written as JSON."""
    Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA))["$schema"] == DIALECT


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_shipped_file_fits_the_schema(path: Path) -> None:
    """Editors find nothing wrong with our own examples."""
    assert list(Draft202012Validator(SCHEMA).iter_errors(yaml.safe_load(path.read_text()))) == []


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("server: {timeout: 5s}", True),
        ("server: {timeout: 5}", False),
        ("server: {timeout: '${PATIENCE:-5s}'}", True),
        ("server: {processes: '${N:-2}'}", True),
        ("server: {processes: '2'}", False),
        ("server: {processes: 0}", False),
        ("server: {limits: {body: 1MiB}}", True),
        ("server: {limits: {body: 1M}}", False),
        ("server: {access_log: {sample: 0.5}}", True),
        ("server: {access_log: {sample: 50%}}", True),
        ("server: {access_log: {sample: 1.5}}", False),
        ("server: {access_log: {errors: maybe}}", False),
        ("server: {log_level: info}", True),
        ("server: {log_level: loud}", False),
        ("server: {htpp: x}", False),
        ("x-own: {anything: 1}", True),
        ("own: 1", False),
    ],
)
def test_schema_and_loader_agree(text: str, *, good: bool) -> None:
    """What one refuses, the other refuses too."""
    assert valid(MODEL + text) is good
    try:
        read(MODEL + text, name="f", environment={}, files=False)
    except ConfigError:
        assert not good
    else:
        assert good


@pytest.mark.parametrize(
    ("model", "good"),
    [
        (
            "{backends: [{worker: {path: x, env: {A: 1}}}], preprocess: [{scale: {factor: 2}}]}",
            True,
        ),
        ("{backends: [{worker: {path: x}}], preprocess: [{scale: {}}]}", False),
        ("{backends: [{worker: {path: x}}], preprocess: [{scael: {factor: 2}}]}", False),
        ("{backends: [{worker: {path: x}}], preprocess: [scale]}", False),
        ("{backends: [{worker: {path: x}, max_concurrency: 2}], cache: null}", True),
        ("{backends: [{worker: {path: x}, max_concurrency: 0}]}", False),
        ("{backends: [{worker: {}}]}", False),
        ("{backends: []}", False),
        ("{}", False),
    ],
)
def test_schema_and_loader_agree_on_models(model: str, *, good: bool) -> None:
    """Steps are one-key mappings, and what is required is."""
    text = f"models: {{a: {model}}}"
    assert valid(text) is good
    try:
        read(text, name="f", files=False)
    except ConfigError:
        assert not good
    else:
        assert good


def test_defaults_are_written_as_a_file_has_them() -> None:
    """With their units."""
    server = SCHEMA["$defs"]["ServerConfig"]["properties"]
    limits = SCHEMA["$defs"]["LimitsConfig"]["properties"]
    assert (server["timeout"]["default"], limits["body"]["default"]) == ("30s", "64MiB")
    assert (server["processes"]["default"], server["processes"]["description"] != "") == (1, True)
