# SPDX-License-Identifier: Apache-2.0
"""What of a configuration is shown."""

from __future__ import annotations

import msgspec

from gateway.control.masking import shown


class Worker(msgspec.Struct):
    """A section with an environment, as a worker's has."""

    path: str
    env: dict[str, str]


class Whole(msgspec.Struct):
    """A configuration with workers in a list in a mapping."""

    models: dict[str, list[Worker]]
    grace: float = 30.0


class Named(msgspec.Struct):
    """Sections by model name."""

    models: dict[str, dict[str, object]]


def test_environment_values_are_masked_wherever_they_stand() -> None:
    """Names are shown, values are not: they may be keys to a model store."""
    config = Whole(models={"digits": [Worker("models/digits", {"STORE_KEY": "s3cret"})]})
    assert shown(config) == {
        "models": {"digits": [{"path": "models/digits", "env": {"STORE_KEY": "***"}}]},
        "grace": 30.0,
    }


def test_a_model_named_env_is_shown() -> None:
    """Only a mapping of plain values is an environment."""
    section = msgspec.to_builtins(Worker("models/digits", {"A": "1"}))
    config = Named(models={"env": section})
    assert shown(config)["models"]["env"] == {"path": "models/digits", "env": {"A": "***"}}


class Server(msgspec.Struct):
    """A section with headers, as that of a server elsewhere."""

    url: str
    headers: dict[str, str]


def test_header_values_are_masked() -> None:
    """They are what a server elsewhere lets us in by."""
    section = Server("http://far:8000", {"Authorization": "Bearer s3cret"})
    assert shown(section) == {"url": "http://far:8000", "headers": {"Authorization": "***"}}
