# SPDX-License-Identifier: Apache-2.0
"""TlsConfig: what certificates say, and which file is at fault where they cannot be used."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.tls import TlsConfig


def test_by_default_the_server_is_checked() -> None:
    """Its certificate and its name."""
    context = TlsConfig().context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_whoever_says_so_believes_anybody() -> None:
    """And no name is asked for, which there would be none to check."""
    context = TlsConfig(verify=False).context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize(
    ("key", "config"),
    [("ca", lambda file: TlsConfig(ca=file)), ("cert", lambda file: TlsConfig(cert=file))],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, key: str, config: Callable[[str], TlsConfig]
) -> None:
    """With the key that names it, whether it lacks or is no certificate."""
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    for file in (junk, tmp_path / "lacks.pem"):
        with pytest.raises(ValueError, match=f"^{key}: {file}: "):
            config(str(file)).context()
