# SPDX-License-Identifier: Apache-2.0
"""Load over gRPC, against a server that is not ours."""

import socket
from typing import Any

import grpc
import pytest

from gateway.lab import LabError
from gateway.lab.load.measure import Progress, measure
from gateway.lab.load.run import Plan
from tests.support.grpc_server import GrpcServer


def plan(url: str, **fields: Any) -> Plan:
    """A second of 200 calls a second, three rows each."""
    given: dict[str, Any] = {
        "url": url, "model": "m", "protocol": "grpc", "rate": 200.0, "duration": 1.0,
        "warmup": 0.2, "processes": 1, "batch": 3, "timeout": 2.0,
        "headers": (("X-Key", "secret"),),
    }  # fmt: skip
    return Plan(**{**given, **fields})


async def test_every_row_arrives_and_is_an_input_of_its_own() -> None:
    """Raw tensors as the protocol has them, with keys as metadata; what it says comes back."""
    async with GrpcServer() as server:
        run = await measure(plan(server.url))

    assert run.ok == run.offered == pytest.approx(200, rel=0.3)
    assert run.errors == {}
    assert run.rows == run.ok * 3
    assert len(set(server.rows)) == len(server.rows) >= run.rows
    assert server.metadata["x-key"] == "secret"
    assert run.plan.headers == (("X-Key", "hidden"),)
    assert run.server_timing["infer"].mean == pytest.approx(0.002)
    assert run.cache == {"miss": run.ok}
    assert run.environment.model_digest == "d1"
    assert (run.environment.server, run.environment.server_version) == ("small", "2")
    assert run.statuses == {"OK": run.ok}


async def test_calls_may_have_connections_of_their_own() -> None:
    """Each with its own channel, one at a time."""
    async with GrpcServer() as server:
        run = await measure(
            plan(server.url, schedule="closed", rate=0.0, concurrency=2, new_connections=True)
        )

    assert run.ok == run.offered > 10


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "shed"),
        (grpc.StatusCode.UNAVAILABLE, "shed"),
        (grpc.StatusCode.INVALID_ARGUMENT, "client_error"),
        (grpc.StatusCode.INTERNAL, "server_error"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "timeout"),
    ],
)
async def test_codes_are_kinds(code: grpc.StatusCode, kind: str) -> None:
    """The same kinds as over HTTP."""
    async with GrpcServer() as server:

        def told(progress: Progress) -> None:
            if progress.phase == "warm-up":
                server.code = code

        made = plan(server.url, warmup=1.0, duration=0.3, timeout=30.0)
        run = await measure(made, on_progress=told)

    assert set(run.errors) == {kind}
    assert sum(run.errors.values()) == run.offered
    assert run.statuses == {code.name: run.offered}


async def test_a_model_that_is_not_there_is_named() -> None:
    """With the words of the server."""
    async with GrpcServer() as server:
        with pytest.raises(LabError, match=r"NOT_FOUND: no model other"):
            await measure(plan(server.url, model="other"))


async def test_a_refused_first_call_is_told() -> None:
    """Before any load."""
    async with GrpcServer(grpc.StatusCode.INVALID_ARGUMENT, "x is\nodd") as server:
        with pytest.raises(LabError, match="the first request: INVALID_ARGUMENT: x is odd"):
            await measure(plan(server.url))


async def test_nobody_there_is_told() -> None:
    """In one line."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(LabError, match=rf"127\.0\.0\.1:{port}: UNAVAILABLE"):
        await measure(plan(f"grpc://127.0.0.1:{port}"))
