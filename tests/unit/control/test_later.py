# SPDX-License-Identifier: Apache-2.0
"""Later: what it loads when, and that it knows every path of what it stands for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.config import BackendConfig, Config, ModelConfig, WorkerConfig
from gateway.control.candidate_api import CandidateApi
from gateway.control.drifting.routes import DriftRoutes
from gateway.control.figures import Figures
from gateway.control.later import Later, needed
from gateway.control.probing.routes import Routes
from gateway.control.quality import Quality
from gateway.control.quality_paths import CHANGED, PATHS
from gateway.control.shadow_api import ShadowApi
from gateway.stages.cache_options import ModelCacheConfig
from gateway.stages.quality_options import QualityConfig


def config(**sections: Any) -> Config:
    """A configuration of one model with these *sections*."""
    model = ModelConfig(backends=(BackendConfig(worker=WorkerConfig(path="m")),), **sections)
    return Config(models={"m": model})


class Operations:
    """The configuration in effect, and who hears of another one."""

    def __init__(self, first: Config) -> None:
        self.config = first
        self._heard: list[Callable[[], None]] = []

    def on_change(self, callback: Callable[[], None]) -> None:
        """Keep it."""
        self._heard.append(callback)

    def reload(self, another: Config) -> None:
        """Another configuration is in effect."""
        self.config = another
        for callback in self._heard:
            callback()


class Scripted:
    """What is loaded; it answers with the path, and runs until cancelled."""

    def __init__(self) -> None:
        self.running = False

    def add_to(self, app: web.Application) -> None:
        """All paths, as the real one has them."""
        for path in PATHS:
            for method in CHANGED.get(path, ("GET",)):
                app.router.add_route(method, path, self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        return web.Response(text=f"{request.method} {dict(request.match_info)}")

    async def run(self) -> None:
        """Until cancelled."""
        self.running = True
        await asyncio.get_running_loop().create_future()


class Scene:
    """A `Later` over *first*, and what it has loaded."""

    def __init__(self, first: Config) -> None:
        self.operations = Operations(first)
        self.loaded: list[Scripted] = []
        self.later = Later(cast("Any", self._make), cast("Any", self.operations))

    def _make(self) -> Scripted:
        self.loaded.append(Scripted())
        return self.loaded[-1]


async def test_nothing_is_loaded_for_models_that_keep_nothing() -> None:
    """However long it runs."""
    scene = Scene(config())
    task = asyncio.ensure_future(scene.later.run())
    scene.operations.reload(config(cache=ModelCacheConfig()))
    for _ in range(5):
        await asyncio.sleep(0)
    assert scene.loaded == []
    task.cancel()


async def test_it_is_there_at_once_where_it_is_needed() -> None:
    """Before the port is, so that no label comes too early."""
    scene = Scene(config(quality=QualityConfig(classes=2)))
    assert len(scene.loaded) == 1
    task = asyncio.ensure_future(scene.later.run())
    await asyncio.sleep(0)
    assert scene.loaded[0].running
    task.cancel()


async def test_a_reload_that_needs_it_loads_it_once() -> None:
    """And the next one finds it."""
    scene = Scene(config())
    task = asyncio.ensure_future(scene.later.run())
    for _ in range(2):
        scene.operations.reload(config(quality=QualityConfig(classes=2)))
        for _ in range(5):
            await asyncio.sleep(0)
    assert [each.running for each in scene.loaded] == [True]
    task.cancel()


async def test_whoever_asks_gets_an_answer() -> None:
    """With what stands in the path, and without the wait of a start."""
    scene = Scene(config())
    app = web.Application()
    scene.later.add_to(app)
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/v1/quality/m")
        assert await answer.text() == "GET {'model': 'm'}"
        answer = await client.post("/v1/candidates/m/hold")
        assert await answer.text() == "POST {'model': 'm'}"
        assert (await client.post("/v1/quality")).status == 405
    assert len(scene.loaded) == 1


def test_it_knows_the_paths_of_all_parts() -> None:
    """Those that the parts would add themselves, with their methods."""
    # Routes only name methods of whoever adds them; what these do is of no account here.
    parts = [
        _of(each) for each in (Figures, Routes, DriftRoutes, CandidateApi, ShadowApi)
    ]  # fmt: skip
    app = web.Application()
    for part in parts:
        part.add_to(app)
    quality = _of(Quality)
    assert callable(quality.ledger_status)
    own = {(route.method, _path(route)) for route in app.router.routes()}
    own |= {("GET", "/v1/ledger"), ("HEAD", "/v1/ledger")}
    told = {(method, path) for path in PATHS for method in CHANGED.get(path, ("GET",))}
    assert {each for each in own if each[0] != "HEAD"} == told


def _of(kind: type[Any]) -> Any:
    return object.__new__(kind)


def _path(route: web.AbstractRoute) -> str:
    assert route.resource is not None
    return route.resource.canonical


def test_what_needs_it() -> None:
    """Anything about answers, and whoever is to be told of it."""
    assert not needed(config())
    assert needed(config(quality=QualityConfig(classes=2)))
    assert needed(cast("Config", SimpleNamespace(webhooks=["one"], models={})))
