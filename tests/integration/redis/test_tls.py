# SPDX-License-Identifier: Apache-2.0
"""Redis behind TLS: whom the gateway trusts, and whom the server does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gateway.tls import TlsConfig
from tests.support.redis import (
    RedisServer,
    free_port,
    payload,
    response,
    state,
    store_at,
    written,
)


def certificate(directory: Path, name: str) -> Path:
    """A certificate for *name*, signed by itself; its key stands beside it.

    The address is in it because redis-py asks for that where the name is ``localhost``.
    """
    pem = directory / f"{name}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={name}",
         "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1",
         "-keyout", f"{pem}.key", "-out", str(pem)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return pem


def server(pem: Path, clients: Path, port: int, *more: str) -> RedisServer:
    """One that shows *pem*, and lets in who shows *clients*."""
    return RedisServer(
        "--tls-port", str(port), "--tls-cert-file", str(pem), "--tls-key-file", f"{pem}.key",
        "--tls-ca-cert-file", str(clients), "--tls-auth-clients", "yes", *more,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["rediss", "rediss+cluster"])
async def test_both_ends_show_who_they_are(tmp_path: Path, kind: str) -> None:
    """With a certificate each, that the other one knows."""
    here, there = certificate(tmp_path, "gateway"), certificate(tmp_path, "localhost")
    tls = TlsConfig(ca=str(there), cert=str(here), key=f"{here}.key")
    port = free_port()
    more = ["--cluster-enabled", "yes", "--tls-cluster", "yes"] if "cluster" in kind else []
    if more:
        more += ["--cluster-announce-hostname", "localhost", "--cluster-port", str(free_port()),
                 "--cluster-preferred-endpoint-type", "hostname"]  # fmt: skip
    with server(there, here, port, *more) as redis:
        if more:
            redis.say("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while b"cluster_state:ok" not in redis.told("CLUSTER", "INFO"):
                pass
        async with store_at(f"{kind}://localhost:{port}", tls=tls) as store:
            store.put(b"k", response(b"sealed"), 6, ttl=60)
            await written(store)
            kept = await store.fetch(b"k")
            assert kept is not None
            assert payload(kept.value) == b"sealed"


@pytest.mark.parametrize("lacking", ["ca", "cert", "name"])
async def test_who_is_not_trusted_gets_nothing(tmp_path: Path, lacking: str) -> None:
    """An unknown authority, no certificate of our own, a certificate of another name: misses."""
    here, there = certificate(tmp_path, "gateway"), certificate(tmp_path, "localhost")
    other = certificate(tmp_path, "other")
    shows = other if lacking == "name" else there
    trusted = there if lacking == "cert" else other
    tls = TlsConfig(ca=str(trusted), cert=str(here), key=f"{here}.key")
    if lacking == "cert":
        tls = TlsConfig(ca=str(trusted))
    port = free_port()
    with server(shows, here, port):
        async with store_at(f"rediss://localhost:{port}", tls=tls, known=False) as store:
            for _ in range(9):
                assert not await store.generations.refresh()
            assert state(store) == "open"


async def test_without_checks_any_certificate_will_do(tmp_path: Path) -> None:
    """Where the operator says so."""
    here, there = certificate(tmp_path, "gateway"), certificate(tmp_path, "other")
    tls = TlsConfig(verify=False, cert=str(here), key=f"{here}.key")
    port = free_port()
    with server(there, here, port):
        async with store_at(f"rediss://localhost:{port}", tls=tls) as store:
            assert await store.fetch(b"k") is None
            assert state(store) == "closed"
