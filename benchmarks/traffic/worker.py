# SPDX-License-Identifier: Apache-2.0
"""A v2 server with a known capacity: one row at a time, each for as long as it is told.

    python -m benchmarks.traffic.worker PORT MILLISECONDS

It stands for a model that computes: what comes meanwhile waits its turn. The time is slept, so that
four such servers do not need four cores. ``POST /slow?factor=20`` makes it slower from then on.
"""

import asyncio
import json
import sys
from typing import Any

from aiohttp import web

MODEL = {
    "name": "echo",
    "versions": ["1"],
    "platform": "echo",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}],
}


class Worker:
    """One server; *seconds* is the time of a row."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._factor = 1.0
        self._turn = asyncio.Lock()

    async def infer(self, request: web.Request) -> web.Response:
        """Give the input back, when its turn has come and its time has passed."""
        asked = await request.json()
        (tensor,) = asked["inputs"]
        async with self._turn:
            await asyncio.sleep(self._seconds * self._factor * tensor["shape"][0])
        output = {**tensor, "name": "y"}
        output.pop("parameters", None)
        return _json({"model_name": "echo", "model_version": "1", "outputs": [output]})

    async def slow(self, request: web.Request) -> web.Response:
        """Be slower by a factor."""
        self._factor = float(request.query["factor"])
        return _json({"factor": self._factor})


def _json(document: Any) -> web.Response:  # noqa: ANN401 - any JSON document
    return web.Response(body=json.dumps(document).encode(), content_type="application/json")


async def _said(document: dict[str, Any]) -> web.Response:
    return _json(document)


def application(seconds: float) -> web.Application:
    """The server's routes."""
    worker = Worker(seconds)
    app = web.Application()
    server = {"name": "echo-server", "version": "1", "extensions": []}
    app.router.add_get("/v2", lambda _: _said(server))
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/echo/ready"):
        app.router.add_get(path, lambda _: _said({"ready": True}))
    app.router.add_get("/v2/models/echo", lambda _: _said(MODEL))
    app.router.add_post("/v2/models/echo/infer", worker.infer)
    app.router.add_post("/slow", worker.slow)
    return app


if __name__ == "__main__":
    web.run_app(
        application(float(sys.argv[2]) / 1000),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        print=None,
        access_log=None,
    )
