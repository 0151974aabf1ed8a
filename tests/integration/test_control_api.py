# SPDX-License-Identifier: Apache-2.0
"""The admin API over a real socket."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.control.app import PATHS, AdminApi
from gateway.wire.runtime import state_directory, state_file

STATE = {
    "models": {
        "digits": {
            "ready": True,
            "queued": 1,
            "endpoints": [
                {"name": "digits-0", "address": "unix:x", "state": "ready", "pending": 4}
            ],
        }
    }
}


def client(runtime: Path) -> TestClient[web.Request, web.Application]:
    """A client of an API over *runtime*."""
    api = AdminApi(
        runtime=runtime,
        config=lambda: {"server": {"processes": 1}},
        metrics=lambda: (b"infergate_up 1\n", "text/plain; version=0.0.4"),
        cache=dict,
    )
    return TestClient(TestServer(api.application()))


@pytest.mark.parametrize("path", ["/", *PATHS])
async def test_every_listed_path_answers_and_is_not_stored(tmp_path: Path, path: str) -> None:
    """What was true a moment ago must not come out of a cache."""
    async with client(tmp_path) as admin, admin.get(path) as answer:
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "private, no-store"


async def test_health_is_that_of_this_process_alone(tmp_path: Path) -> None:
    """It answers whatever the gateways do."""
    async with client(tmp_path) as admin, admin.get("/healthz") as answer:
        assert await answer.json() == {"status": "ok"}


async def test_backends_shows_what_gateways_wrote(tmp_path: Path) -> None:
    """Model, endpoint, state and pending come from the file that a gateway replaced last."""
    state_directory(tmp_path).mkdir()
    state_file(tmp_path, 0).write_bytes(msgspec.msgpack.encode(STATE))
    async with client(tmp_path) as admin, admin.get("/v1/backends") as answer:
        view = await answer.json()
    assert view["gateways"] == ["gateway-0"]
    assert view["models"]["digits"]["endpoints"][0]["pending"] == 4


async def test_config_is_the_one_in_effect(tmp_path: Path) -> None:
    """As the process was started with it."""
    async with client(tmp_path) as admin, admin.get("/v1/config") as answer:
        assert await answer.json() == {"server": {"processes": 1}}


async def test_metrics_keep_their_content_type(tmp_path: Path) -> None:
    """Scrapers tell the format by it."""
    async with client(tmp_path) as admin, admin.get("/metrics") as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4"
        assert await answer.read() == b"infergate_up 1\n"


async def test_an_unknown_path_is_a_json_error(tmp_path: Path) -> None:
    """The error names the path and where those that exist are listed."""
    async with client(tmp_path) as admin, admin.get("/v2/health/ready") as answer:
        assert answer.status == 404
        assert await answer.json() == {
            "error": "no such path: /v2/health/ready; / lists those that there are"
        }


async def test_a_wrong_method_is_a_json_error_that_names_the_right_ones(tmp_path: Path) -> None:
    """``Allow`` lists what the path knows."""
    async with client(tmp_path) as admin, admin.post("/healthz", data=b"x") as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET,HEAD"
        assert await answer.json() == {"error": "/healthz does not know POST"}


async def test_a_fault_of_ours_leaks_nothing(tmp_path: Path) -> None:
    """The cause is in the log, not in the answer."""

    def broken() -> tuple[bytes, str]:
        raise RuntimeError("secret")

    api = AdminApi(runtime=tmp_path, config=dict, metrics=broken, cache=dict)
    async with TestClient(TestServer(api.application())) as admin:
        async with admin.get("/metrics") as answer:
            assert answer.status == 500
            assert await answer.json() == {"error": "internal error, see the log"}
        async with admin.get("/healthz") as answer:
            assert answer.status == 200
