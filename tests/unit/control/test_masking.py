# SPDX-License-Identifier: Apache-2.0
"""What of a configuration is shown."""

from __future__ import annotations

import msgspec

from gateway.config.load import read
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


class Cache(msgspec.Struct):
    """A section with secrets, as that of the cache in Redis."""

    store: str
    secret: str | None
    encryption_keys: list[str]
    password: str | None = None


def test_secrets_and_logins_in_urls_are_masked() -> None:
    """Each by itself; what is not there is shown as that, and so is where the server is."""
    config = Cache("redis://user:hunter2@cache:6379/1", "s3cret", ["k3y", "k4y"])
    assert shown(config) == {
        "store": "redis://***@cache:6379/1",
        "secret": "***",
        "encryption_keys": ["***", "***"],
        "password": None,
    }


def test_a_model_named_like_a_secret_is_shown() -> None:
    """Only values are secrets, not whole sections."""
    config = Named(models={"secret": {"path": "models/secret", "password": "s3cret"}})
    assert shown(config)["models"]["secret"] == {"path": "models/secret", "password": "***"}


def test_no_secret_of_a_configuration_that_was_read_is_shown() -> None:
    """Of backends, of the cache, of webhooks: its lists are not those of plain JSON."""
    key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
    text = (
        "cache: {store: 'redis://h', redis: {secret: hidden-0123456789, "
        f"encryption_keys: ['{key}']}}}}\n"
        "webhooks: [{url: 'https://h/x', secret: hidden-0123456789}]\n"
        "models: {a: {backends: [{url: 'http://h:1', remote: {headers: {x: hidden}}}, "
        "{worker: {path: x, env: {K: hidden}}}]}}\n"
    )
    told = shown(read(text, name="f", files=False))

    assert told["webhooks"][0]["url"] == "https://h/x"
    assert told["models"]["a"]["backends"][1]["worker"]["path"] == "x"
    assert "hidden" not in str(told)
    assert key not in str(told)
