# SPDX-License-Identifier: Apache-2.0
"""Pools: the endpoints of a model, of whatever kind, as its configuration has them."""

from __future__ import annotations

import logging
import ssl
from functools import partial
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.errors import ConfigError
from gateway.units import host_of
from gateway.upstream.caller import Caller
from gateway.upstream.discovery import Discovery, look_up
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.gradient import Gradient
from gateway.upstream.health import Ejection, Liveness
from gateway.upstream.link import Link
from gateway.upstream.options import RemoteConfig
from gateway.upstream.pool import Pool
from gateway.upstream.remote import Remote
from gateway.upstream.shared import SharedEndpoint
from gateway.wire.runtime import worker_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.config import BackendConfig, ModelConfig
    from gateway.telemetry import Telemetry
    from gateway.tls import TlsConfig
    from gateway.upstream.discovery import Resolver
    from gateway.upstream.outstanding import Outstanding
    from gateway.upstream.transport import Transport, Upcall
    from gateway.wire.generation import Generation, Setting

log = logging.getLogger(__name__)


def make_pool(
    name: str,
    config: ModelConfig,
    *,
    telemetry: Telemetry,
    outstanding: Outstanding | None = None,
) -> Pool:
    """A pool for the model *name*, without endpoints yet.

    *outstanding* is where several gateway processes count together.
    """
    return Pool(
        name,
        policy=config.policy.make(rng=Random(), clock=perf_counter),
        telemetry=telemetry,
        max_ejected=config.ejection.max_ejected,
        panic_threshold=config.panic_threshold,
        slow_start=config.slow_start.window,
        slow_floor=config.slow_start.floor,
        outstanding=outstanding,
    )


class Spot(NamedTuple):
    """One endpoint as the configuration wants it; *own* is a worker of the supervisor's.

    *address* is a worker's, or a server's URL; *at* is where the name in a URL leads, "" for
    wherever it does. *remote* says how a server is asked, *tls* how its certificate is checked.
    """

    name: str
    address: str
    weight: float
    cap: int | None
    own: bool
    tier: int = 0
    at: str = ""
    remote: RemoteConfig = RemoteConfig()
    tls: ssl.SSLContext | None = None
    adaptive: bool = False

    @property
    def recipe(self) -> object:
        """What an endpoint is made of once and for all: a change of it takes another one."""
        return self.cap, self.adaptive, self.tier, self.at, self.remote


def spots(name: str, config: ModelConfig, generation: Generation, runtime: Path) -> list[Spot]:
    """The endpoints of a model: its own workers by their numbers, and those elsewhere.

    Those whose names are resolved are not among them: see `names`.
    """
    found = []
    for place in generation.of(name):
        backend = config.backends[place.backend]
        path = worker_socket(runtime, name, place.number)
        found.append(_spot(place.name, f"unix:{path}", backend, own=True))
    for backend in config.backends:
        if backend.worker is None and backend.resolve is None:
            address = backend.url or backend.address or ""
            found.append(_spot(backend.place(name), address, backend))
    return found


def _spot(
    name: str, address: str, backend: BackendConfig, *, own: bool = False, at: str = ""
) -> Spot:
    most = backend.max_concurrency
    cap = most if isinstance(most, int) else None
    adaptive = most == "adaptive"
    return Spot(
        name, address, backend.weight, cap, own, backend.tier, at, backend.remote, adaptive=adaptive
    )


def _checked(spot: Spot) -> Spot:
    """*spot* with what its server's certificate is checked with; raises ConfigError."""
    if not spot.address.startswith("https:"):
        return spot
    return spot._replace(tls=_tls(spot.address, spot.remote.tls))


def make_endpoint(spot: Spot, config: ModelConfig, pool: Pool) -> Endpoint:
    """The endpoint at *spot*, for *pool*, which it is not in yet; raises ConfigError.

    That is where a certificate cannot be read.
    """
    ejection, health = config.ejection, config.health
    return _kind(spot.name, pool)(
        spot.name,
        _transport(spot if spot.tls is not None else _checked(spot), config, pool),
        pool,
        ejection=Ejection(
            clock=perf_counter,
            consecutive=ejection.consecutive,
            error_rate=ejection.error_rate,
            min_volume=ejection.min_volume,
            window=ejection.window,
            base=ejection.base,
            most=ejection.max,
            jitter=ejection.jitter,
        ),
        liveness=Liveness(rise=health.rise, fall=health.fall),
        weight=spot.weight,
        tier=spot.tier,
        cap=spot.cap,
        gradient=Gradient() if spot.adaptive else None,
        attempt_timeout=config.timeouts.attempt,
    )


class Name(Discovery):
    """The name in *backend*, whose addresses are endpoints of *pool*.

    *settings* tells what operators have said of an endpoint. While *waiting*, endpoints are
    connected and sent nothing, until a change of the configuration is complete.
    """

    def __init__(
        self,
        backend: BackendConfig,
        config: ModelConfig,
        pool: Pool,
        *,
        settings: Callable[[str], Setting],
        resolver: Resolver = look_up,
        waiting: bool = False,
    ) -> None:
        self.backend = backend
        self.waiting = waiting
        self._config = config
        self._target = pool
        self._settings = settings
        # Read once: that a file is missing must end a start, and not a server that serves.
        self._spot = _checked(_spot("", backend.url or backend.address or "", backend))
        host, port = host_of(backend.url or backend.address or "")
        super().__init__(
            host,
            port,
            self._endpoint,
            pool,
            held=lambda endpoint: self.waiting or settings(endpoint.name).drained,
            interval=backend.resolve or 0.0,
            resolver=resolver,
        )

    def _endpoint(self, found: str) -> Endpoint:
        backend = self.backend
        name = f"{backend.place(self._target.model)}#{found}"
        said = self._settings(name).weight
        spot = self._spot._replace(name=name, weight=backend.weight if said is None else said)
        if backend.url is None:
            port = host_of(backend.address or "")[1]
            address = f"tcp:[{found}]:{port}" if ":" in found else f"tcp:{found}:{port}"
            spot = spot._replace(address=address)
        else:
            spot = spot._replace(at=found)
        endpoint = make_endpoint(spot, self._config, self._target)
        endpoint.wrong = self._settings(name).wrong
        return endpoint


def names(config: ModelConfig) -> list[BackendConfig]:
    """The backends of a model whose names are resolved again and again."""
    return [backend for backend in config.backends if backend.resolve is not None]


def followed(pool: Pool) -> Iterator[Name]:
    """The names that *pool* follows."""
    return (name for name in pool.followed if isinstance(name, Name))


def is_same_name(one: BackendConfig, other: BackendConfig) -> bool:
    """Whether the endpoints of both are the same, whatever they weigh."""
    return msgspec.structs.replace(one, weight=1.0) == msgspec.structs.replace(other, weight=1.0)


def _kind(name: str, pool: Pool) -> Callable[..., Endpoint]:
    """What makes the endpoint *name* of *pool*: alone, or counted by all processes."""
    outstanding = pool.outstanding
    if outstanding is None:
        return Endpoint
    column = outstanding.column(f"{pool.model}\0{name}")
    if column is None:
        log.warning(
            "endpoint %s is counted by each gateway process alone: too many endpoints", name
        )
        return Endpoint
    return partial(SharedEndpoint, column=column, processes=outstanding.processes)


def lone_transport(name: str, spot: Spot, config: ModelConfig) -> Callable[[Upcall], Transport]:
    """The way to *spot*, an endpoint of the model *name*, for who asks it past all pools.

    Whoever is at its address is taken as it is. Raises ConfigError where a certificate cannot be
    read.
    """
    spot = _checked(spot)
    if not spot.address.startswith(("http:", "https:")):
        return partial(Link, spot.address, connect_timeout=config.timeouts.connect)
    return _remote(name, spot, config)


def _transport(spot: Spot, config: ModelConfig, pool: Pool) -> Callable[[Upcall], Transport]:
    if not spot.address.startswith(("http:", "https:")):
        reports = pool.reported if pool.informed else None
        connect = config.timeouts.connect
        return partial(
            Link, spot.address, connect_timeout=connect, reports=reports, stranger=pool.stranger
        )
    return _remote(pool.model, spot, config)


def _remote(name: str, spot: Spot, config: ModelConfig) -> Callable[[Upcall], Transport]:
    remote = spot.remote
    caller = Caller(
        spot.address,
        address=spot.at,
        headers=remote.headers,
        tls=spot.tls,
        connect_timeout=config.timeouts.connect,
        idle_timeout=remote.idle_timeout,
        max_answer=remote.max_answer,
    )
    return partial(
        Remote,
        caller,
        name=name,
        remote_name=remote.model or name,
        version=remote.version or "",
    )


def _tls(url: str, config: TlsConfig) -> ssl.SSLContext:
    try:
        return config.context()
    except ValueError as error:
        raise ConfigError([f"remote.tls of {url}: cannot be used: {error}"]) from error
