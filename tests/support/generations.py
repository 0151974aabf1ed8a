# SPDX-License-Identifier: Apache-2.0
"""A gateway process without sockets: its endpoints lead to scripted peers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gateway import changeover, pools, serving
from gateway.access_log import AccessLog
from gateway.config.load import read
from gateway.config.placement import placed
from gateway.pools import Spot
from gateway.serving import Gateway
from gateway.telemetry import Telemetry
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import Ejection
from gateway.wire.generation import Generation, Place, Setting
from gateway.wire.message import InferRequest
from gateway.wire.model import ModelInfo
from tests.support.upstream import MODEL, Clock, ScriptedPeer, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    import pytest

    from gateway.config import Config, ModelConfig
    from gateway.model import Model
    from gateway.upstream.pool import Pool
    from gateway.wire.message import InferResponse


def config(**models: str) -> Config:
    """A configuration of models by what their sections say besides one worker's path."""
    sections = "".join(
        f"  {name}: {{backends: [{{worker: {{path: {name}}}}}]{more}}}\n"
        for name, more in models.items()
    )
    return read(f"models:\n{sections}", name="test", environment={}, files=False)


class Stage:
    """A gateway, its peers by endpoint in the order of their making, and what it is to serve."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, first: Config) -> None:
        self.peers: list[tuple[str, ScriptedPeer]] = []
        # What a peer says of its model when it is made, by the model's name.
        self.info: dict[str, ModelInfo | None] = {}
        monkeypatch.setattr(changeover, "make_endpoint", self.make_endpoint)
        monkeypatch.setattr(serving, "make_endpoint", self.make_endpoint)
        monkeypatch.setattr(pools, "make_endpoint", self.make_endpoint)
        # The addresses of every name, as `resolve` gives them.
        self.addresses: list[str] = []
        self.telemetry = Telemetry(first.models)
        self.config = first
        self.generation = Generation(1, "1", placed(first))
        self.gateway = Gateway(
            first,
            self.generation,
            runtime=Path("nowhere"),
            telemetry=self.telemetry,
            access_log=AccessLog(telemetry=self.telemetry),
            resolver=self.resolve,
        )

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of any name."""
        return self.addresses

    def make_endpoint(self, spot: Spot, section: ModelConfig, pool: Pool) -> Endpoint:
        """An endpoint on a peer that is up at once, unless *info* says None for its model."""
        peer = ScriptedPeer()
        endpoint = Endpoint(
            spot.name,
            peer.attach,
            pool,
            ejection=Ejection(clock=Clock()),
            weight=spot.weight,
            cap=spot.cap,
        )
        self.peers.append((spot.name, peer))
        info = self.info.get(pool.model, MODEL)
        if info is not None:
            asyncio.get_running_loop().call_soon(peer.comes_up, "1", info)
        return endpoint

    def peer(self, name: str) -> ScriptedPeer:
        """The latest peer behind the endpoint *name*."""
        return [peer for each, peer in self.peers if each == name][-1]

    def to(
        self,
        wanted: Config,
        *,
        places: Iterable[Place] | None = None,
        settings: dict[str, Setting] | None = None,
    ) -> changeover.Changeover:
        """The way to *wanted*, with places as a control process would choose them."""
        now = self.gateway.generation
        generation = Generation(
            now.number + 1,
            str(now.number + 1),
            tuple(placed(wanted, running=now.places, taken=now.names()) if places is None
                  else places),
            now.settings if settings is None else settings,
        )  # fmt: skip
        return changeover.Changeover(self.gateway, wanted, generation)

    async def change(self, wanted: Config, **more: Any) -> None:
        """Go to *wanted*, which must succeed."""
        change = self.to(wanted, **more)
        assert await change.prepare() == []
        change.commit()

    def ask(self, model: str, asked: InferRequest | None = None) -> asyncio.Task[InferResponse]:
        """A request that holds its model as those of clients do."""

        async def answer(served: Model) -> InferResponse:
            return await served.service(asked or request())

        return asyncio.get_running_loop().create_task(answer(self.gateway.models[model]))


def version(number: str) -> ModelInfo:
    """The scripted model in another version."""
    return msgspec.structs.replace(MODEL, version=number, digest=number * 64)


@asynccontextmanager
async def stage(monkeypatch: pytest.MonkeyPatch, first: Config) -> AsyncIterator[Stage]:
    """A gateway that serves *first* and runs meanwhile."""
    made = Stage(monkeypatch, first)
    running = asyncio.ensure_future(made.gateway.run())
    await made.gateway.came_up()
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
