# SPDX-License-Identifier: Apache-2.0
"""The section ``ledger`` and what is wrong with it."""

from __future__ import annotations

import pytest

from gateway.config import Config
from gateway.config.load import read
from gateway.control.masking import shown
from gateway.errors import ConfigError


def config(ledger: str) -> Config:
    """A configuration with the section *ledger*."""
    text = f"ledger: {ledger}\nmodels: {{m: {{backends: [{{worker: {{path: m}}}}]}}}}\n"
    return read(text, name="test", environment={}, files=False)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///a.sqlite3",
        "sqlite:////var/a.sqlite3",
        "postgresql://u@h/n",
        "postgresql+psycopg://h/n",
    ],
)
def test_databases_are_told_by_their_urls(url: str) -> None:
    """A path, or a server."""
    assert config(f"{{url: '{url}'}}").ledger.url == url


def test_what_is_wrong_shows_no_password() -> None:
    """Neither in faults nor where the configuration is shown."""
    with pytest.raises(ConfigError, match="expected sqlite:///PATH or postgresql") as error:
        config("{url: 'mysql://user:hunter2@host/name'}")
    assert "hunter2" not in str(error.value)
    found = config("{url: 'postgresql://user:hunter2@host/name'}")
    assert "hunter2" not in str(shown(found))
    assert "hunter2" not in repr(found.ledger)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the configuration is checked, and not when the first prediction comes."""
    monkeypatch.setattr("gateway.quality.ledger_options.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"install infergate\[postgres\]"):
        config("{url: 'postgresql://u@h/n'}")
