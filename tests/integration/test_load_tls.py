# SPDX-License-Identifier: Apache-2.0
"""Load on an https server, whose certificate is checked unless one asks otherwise."""

import ssl
import subprocess
from pathlib import Path

import pytest

from gateway.lab import LabError
from gateway.lab.load.measure import measure
from gateway.lab.load.run import Plan
from tests.support.scripted_server import ScriptedServer


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """Of a server that nobody vouches for."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return context


async def test_a_certificate_is_checked(tls: ssl.SSLContext) -> None:
    """A stranger's is refused before anything is sent; taken where that was asked for."""
    async with ScriptedServer(tls=tls) as server:
        server.answers_all = True
        url = f"https://{server.host}:{server.port}"
        plan = Plan(url=url, model="m", rate=50.0, duration=0.5, warmup=0.2, processes=1)

        with pytest.raises(LabError, match="certificate"):
            await measure(plan)
        run = await measure(
            Plan(
                url=url, model="m", rate=50.0, duration=0.5, warmup=0.2, processes=1,
                verify=False, protocol="v2-binary", new_connections=True,
            )
        )  # fmt: skip

    assert run.errors == {}
    assert run.ok == run.offered > 0
    assert run.connects >= run.ok
