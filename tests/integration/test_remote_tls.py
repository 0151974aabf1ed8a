# SPDX-License-Identifier: Apache-2.0
"""Servers behind https: whom the gateway trusts, and what it does with the others."""

from __future__ import annotations

import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from gateway.errors import ConnectFailed
from gateway.upstream.caller import Caller
from tests.support.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from pathlib import Path


def certificate(directory: Path, name: str) -> Path:
    """A certificate for *name*, signed by itself, with its key in the same file."""
    key, cert, both = (directory / each for each in ("key.pem", "cert.pem", f"{name}.pem"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return both


def serving(pem: Path) -> ssl.SSLContext:
    """What a server shows."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    return context


async def test_the_name_is_checked_and_not_the_address(tmp_path: Path) -> None:
    """A name that was resolved stays what the certificate must be of."""
    pem = certificate(tmp_path, "models.svc")
    async with ScriptedServer(tls=serving(pem)) as server:
        trusted = ssl.create_default_context(cafile=str(pem))
        caller = Caller(f"https://models.svc:{server.port}", address="127.0.0.1", tls=trusted)
        assert (await caller.call("GET", "/v2")).status == 200
        await caller.close()
        other = Caller(f"https://others.svc:{server.port}", address="127.0.0.1", tls=trusted)
        with pytest.raises(ConnectFailed, match=r"others\.svc"):
            await other.call("GET", "/v2")
        await other.close()


async def test_an_unknown_authority_is_refused_unless_told_otherwise(tmp_path: Path) -> None:
    """Nothing is sent to it."""
    async with ScriptedServer(tls=serving(certificate(tmp_path, "localhost"))) as server:
        url = f"https://localhost:{server.port}"
        caller = Caller(url, address="127.0.0.1", tls=ssl.create_default_context())
        with pytest.raises(ConnectFailed, match="certificate"):
            await caller.call("GET", "/v2")
        await caller.close()
        assert server.paths == []
        lax = ssl.create_default_context()
        lax.check_hostname = False
        lax.verify_mode = ssl.CERT_NONE
        caller = Caller(url, address="127.0.0.1", tls=lax)
        assert (await caller.call("GET", "/v2")).status == 200
        await caller.close()


async def test_a_plain_server_is_no_https_server(tmp_path: Path) -> None:
    """It is an error of the connection, not a hang."""
    async with ScriptedServer() as server:
        url = f"https://localhost:{server.port}"
        caller = Caller(url, address="127.0.0.1", tls=ssl.create_default_context())
        with pytest.raises(ConnectFailed):
            await caller.call("GET", "/v2")
        await caller.close()
