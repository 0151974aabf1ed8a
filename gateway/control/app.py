# SPDX-License-Identifier: Apache-2.0
"""The admin API: an aiohttp application, one handler for each path; see also `actions`."""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from gateway import __version__
from gateway.control import actions, quality_paths
from gateway.control.answers import NO_STORE, Refused, as_json
from gateway.control.state import backends, read_states

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiohttp.typedefs import Handler

    from gateway.control.actions import Actions

logger: Final = logging.getLogger(__name__)

PATHS: Final = {
    "/healthz": "this process answers",
    "/metrics": "metrics of all processes, Prometheus text format",
    "/v1/backends": "models and their endpoints as the gateway processes see them",
    "/v1/cache": "what the response cache did for each model",
    "/v1/config": "the configuration in effect",
}


class AdminApi:
    """The admin API over the runtime directory *runtime*.

    *config* gives the configuration in effect, secrets masked already. *metrics* gives the text of
    all metrics and its content type, *cache* what `cache_view` makes of them. *actions* is the part
    that changes something, None where this API only reads. *clock* is wall-clock time, to tell
    stale files.
    """

    def __init__(
        self,
        *,
        runtime: Path,
        config: Callable[[], dict[str, Any]],
        metrics: Callable[[], tuple[bytes, str]],
        cache: Callable[[], dict[str, Any]],
        actions: Actions | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._actions = actions
        self._runtime = runtime
        self._config = config
        self._metrics = metrics
        self._cache = cache
        self._clock = clock

    def application(self) -> web.Application:
        """The aiohttp application of this API."""
        app = web.Application(middlewares=[errors_as_json], client_max_size=64 * 1024)
        app.router.add_get("/", self.index)
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/v1/backends", self.backends)
        app.router.add_get("/v1/cache", self.cache)
        app.router.add_get("/v1/config", self.config)
        if self._actions is not None:
            self._actions.add_to(app)
        return app

    async def index(self, _: web.Request) -> web.Response:
        """What there is here."""
        return as_json(
            {
                "name": "infergate",
                "version": __version__,
                "paths": {**PATHS, **quality_paths.PATHS, **actions.PATHS},
            }
        )

    async def healthz(self, _: web.Request) -> web.Response:
        """This process answers; what the others do is no part of it."""
        return as_json({"status": "ok"})

    async def metrics(self, _: web.Request) -> web.Response:
        """The metrics of all processes."""
        body, content_type = self._metrics()
        return web.Response(body=body, headers={**NO_STORE, "Content-Type": content_type})

    async def backends(self, _: web.Request) -> web.Response:
        """Every model with its endpoints."""
        return as_json(backends(read_states(self._runtime, now=self._clock())))

    async def cache(self, _: web.Request) -> web.Response:
        """What the response cache did."""
        return as_json(self._cache())

    async def config(self, _: web.Request) -> web.Response:
        """The configuration in effect."""
        return as_json(self._config())


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every error the one form ``{"error": …}``; what it was goes to the log alone."""
    try:
        return await handler(request)
    except Refused as error:
        return as_json({"error": str(error)}, status=error.status)
    except web.HTTPException as error:
        allow = error.headers.get("Allow")
        return as_json(
            {"error": _explain(request, error)},
            status=error.status,
            headers={"Allow": allow} if allow else {},
        )
    except Exception:  # the border of this process, as Rescue is that of the gateway's
        logger.exception("admin request failed: %s %s", request.method, request.path)
        return as_json({"error": "internal error, see the log"}, status=500)


def _explain(request: web.Request, error: web.HTTPException) -> str:
    if error.status == HTTPStatus.NOT_FOUND:
        return f"no such path: {request.path}; / lists those that there are"
    if error.status == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{request.path} does not know {request.method}"
    return error.reason
