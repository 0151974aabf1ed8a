# SPDX-License-Identifier: Apache-2.0
"""Load on the whole program: the share of hits is what was asked for, by every HTTP protocol."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.lab.load.fleet import Fleet
from gateway.lab.load.measure import measure
from gateway.lab.load.run import Plan, Protocol
from tests.support.serving import Serving
from tests.support.tree import ROOT

CONFIG = f"""
server: {{http: 127.0.0.1:0, admin: 127.0.0.1:0}}
models:
  digits:
    backends: [{{worker: {{path: {ROOT}/models/digits}}}}]
    cache: {{ttl: 10m}}
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a gateway with one cached model."""
    with Serving(tmp_path_factory.mktemp("gateway"), CONFIG) as serving:
        yield f"http://{serving.ready().http}"


def plan(url: str, protocol: Protocol, repeat: float | None, *, batch: int = 1) -> Plan:
    """A second of 150 requests a second."""
    return Plan(
        url=url, model="digits", rate=150.0, duration=1.0, warmup=0.3, processes=1,
        protocol=protocol, repeat=repeat, repeated_inputs=8, batch=batch,
    )  # fmt: skip


@pytest.mark.e2e
async def test_the_cache_is_hit_as_often_as_asked(gateway: str) -> None:
    """Every repeat is a hit and nothing else is, also in a second run, and in whole batches."""
    async with Fleet() as fleet:
        for protocol in ("v2-json", "v2-binary", "v1"):
            for batch in (1, 3):
                run = await measure(plan(gateway, protocol, 0.4, batch=batch), fleet=fleet)

                assert run.errors == {}, protocol
                assert run.duplicates == pytest.approx(0.4, abs=0.2)
                hits = run.cache.get("hit", 0)
                assert hits == round(run.duplicates * run.offered), (protocol, batch, run.cache)
                assert run.rows == run.ok * batch
                assert run.environment.server == "infergate"
                assert run.environment.model_digest
                assert set(run.environment.backends) == {"digits-0"}
                assert run.server_timing["total"].count == run.answered


@pytest.mark.e2e
async def test_a_file_is_sent_as_it_is(gateway: str) -> None:
    """So its rows come round, and the result says so."""
    made = plan(gateway, "v2-json", None)

    run = await measure(made, str(Path(ROOT) / "models" / "digits" / "test.npz"))

    assert run.errors == {}
    assert run.duplicates == 0
    assert run.ok == run.offered
