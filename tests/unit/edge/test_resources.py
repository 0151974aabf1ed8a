# SPDX-License-Identifier: Apache-2.0
"""Targets that are no inference."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.edge.resources import Resources
from gateway.errors import (
    GatewayError,
    InvalidRequest,
    MethodNotAllowed,
    ModelNotFound,
    NoReadyEndpoint,
    NotFound,
    Unsupported,
)
from tests.support.edge import Served, model


class Case:
    """Resources over the models "m" (ready) and, where wanted, "n" (never seen)."""

    def __init__(self, **models: Served) -> None:
        self.draining = False
        self.models = models or {"m": Served(model())}
        self.resources = Resources(
            self.models, metrics=self.metrics, max_body=1000, draining=lambda: self.draining
        )

    async def metrics(self) -> bytes:
        """Text of the metrics."""
        return b"up 1\n"

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of a GET."""
        answer = await self.resources.answer("GET", path.encode())
        return answer.status, json.loads(answer.body)


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models", {"models": ["m"]}),
        ("/v1/models", {"models": ["m"]}),
        ("/v2/models/m/ready", {"name": "m", "ready": True}),
        ("/v2/models/m/versions/1/ready", {"name": "m", "ready": True}),
    ],
)
async def test_a_resource_answers_a_body_and_200(path: str, document: object) -> None:
    """For clients that read the body and for those that read the status."""
    assert await Case().get(path) == (200, document)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/v2", "extensions"), ("/v2/", "extensions"), ("/v2/models/m", "platform"),
        ("/v2/models/m/versions/1", "platform"), ("/v2/models/m/config", "max_batch_size"),
        ("/v2/models/m/versions/1/config", "max_batch_size"), ("/v1/models/m", "ready"),
        ("/v1/models/m", "model_version_status"), ("/v1/models/m/versions/1", "ready"),
        ("/v1/models/m/metadata", "model_spec"), ("/v1/models/m/versions/1/metadata", "model_spec"),
        ("/v2/models/%6D", "platform"),
    ],
)  # fmt: skip
async def test_metadata_is_where_the_protocols_put_it(path: str, key: str) -> None:
    """With and without a version."""
    status, document = await Case().get(path)
    assert status == 200
    assert key in document


async def test_a_server_is_ready_when_all_its_models_are() -> None:
    """Live it is in any case."""
    case = Case(m=Served(model()), n=Served(None, ready=False))

    assert await case.get("/v2/health/ready") == (503, {"ready": False})
    assert await case.get("/v2/models/n/ready") == (503, {"name": "n", "ready": False})
    assert (await case.get("/v1/models/n"))[0] == 503
    assert await case.get("/v2/models/m/ready") == (200, {"name": "m", "ready": True})
    assert await case.get("/v2/health/live") == (200, {"live": True})
    case.models["n"].ready = True
    assert await case.get("/v2/health/ready") == (200, {"ready": True})


async def test_a_server_that_drains_is_not_ready() -> None:
    """Balancers look elsewhere, while what is here is finished."""
    case = Case()
    case.draining = True
    assert await case.get("/v2/health/ready") == (503, {"ready": False})
    assert await case.get("/v2/health/live") == (200, {"live": True})


@pytest.mark.parametrize(
    ("body", "names"), [(b"", ["m", "n"]), (b"{}", ["m", "n"]), (b'{"ready":true}', ["m"])]
)
async def test_the_index_lists_models_and_their_state(body: bytes, names: list[str]) -> None:
    """All, or only those that are ready."""
    case = Case(m=Served(model()), n=Served(None, ready=False))
    answer = await case.resources.answer("POST", b"/v2/repository/index", body)

    rows = {row["name"]: row for row in json.loads(answer.body)}
    assert list(rows) == names
    assert (rows["m"]["version"], rows["m"]["state"]) == ("1", "READY")
    if "n" in rows:
        assert rows["n"]["state"] == "UNAVAILABLE"
        assert rows["n"]["reason"]


@pytest.mark.parametrize("body", [b"[", b"[]", b'{"ready":1}', b'"\xff"', b"[" * 9000])
async def test_a_malformed_query_of_the_index_is_refused(body: bytes) -> None:
    """As any other body."""
    with pytest.raises(InvalidRequest):
        await Case().resources.answer("POST", b"/v2/repository/index", body)


async def test_metrics_are_text() -> None:
    """In the format that Prometheus reads."""
    answer = await Case().resources.answer("GET", b"/metrics")
    assert answer.body == b"up 1\n"
    assert answer.headers == [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")]


async def test_head_is_a_get() -> None:
    """The server leaves the body out."""
    assert (await Case().resources.answer("HEAD", b"/v2")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "error", "says"),
    [
        ("GET", "/", NotFound, "^Not Found$"),
        ("GET", "/v2/nothing", NotFound, "^Not Found$"),
        ("GET", "/v2/models/", NotFound, "^Not Found$"),
        ("GET", "/v2/models/m/", NotFound, "^Not Found$"),
        ("GET", "/v2/models/m/versions/x", NotFound, "^Not Found$"),
        ("POST", "/v2", MethodNotAllowed, "^Method Not Allowed$"),
        ("GET", "/v2/repository/index", MethodNotAllowed, "^Method Not Allowed$"),
        ("HEAD", "/v2/repository/index", MethodNotAllowed, "^Method Not Allowed$"),
        ("GET", "/v2/models/z", ModelNotFound, "unknown model 'z'; this server has: m, n"),
        ("GET", "/v2/models/a%2Fb", ModelNotFound, "unknown model"),
        ("GET", "/v2/models/m/versions/9", ModelNotFound, "no version 9; it has 1"),
        ("GET", "/v1/models/m/versions/9", ModelNotFound, "no version 9; it has 1"),
        ("GET", "/v2/models/n", NoReadyEndpoint, "model 'n' is not loaded"),
        ("GET", "/v1/models/n/metadata", NoReadyEndpoint, "model 'n' is not loaded"),
        ("GET", "/v2/models/stats", Unsupported, "statistics are not offered"),
        ("GET", "/v2/models/m/stats", Unsupported, "statistics are not offered"),
        ("GET", "/v2/models/m/versions/1/stats", Unsupported, "statistics are not offered"),
        ("POST", "/v2/trace/setting", Unsupported, "trace settings"),
        ("POST", "/v2/models/m/trace/setting", Unsupported, "trace settings"),
        ("GET", "/v2/logging", Unsupported, "log settings"),
        ("GET", "/v2/systemsharedmemory/status", Unsupported, "shared memory"),
        ("POST", "/v2/cudasharedmemory/region/r/register", Unsupported, "shared memory"),
        ("POST", "/v2/repository/models/m/load", Unsupported, "loading and unloading"),
        ("POST", "/v2/repository/other/index", Unsupported, "naming a repository"),
        ("POST", "/v2/models/m/generate", Unsupported, "generation"),
        ("POST", "/v1/models/m:explain", Unsupported, "this method"),
    ],
)
async def test_what_is_not_there_is_told_apart(
    method: str, path: str, error: type[GatewayError], says: str
) -> None:
    """Unknown, wrong verb, unknown model, not ready, and not offered."""
    case = Case(m=Served(model()), n=Served(None, ready=False))
    with pytest.raises(error, match=says):
        await case.resources.answer(method, path.encode())


async def test_a_wrong_verb_is_told_the_right_ones() -> None:
    """In the form of the Allow header."""
    for method, path, allow in (
        ("POST", b"/v2", "GET, HEAD"),
        ("GET", b"/v2/repository/index", "POST"),
    ):
        with pytest.raises(MethodNotAllowed) as caught:
            await Case().resources.answer(method, path)
        assert caught.value.allow == allow
