# SPDX-License-Identifier: Apache-2.0
"""Discovery: a name that stands for several addresses, and keeps changing, as endpoints of a pool.

Name servers fail and answer with a part of what they have. So an address goes only when it was
missing twice in a row, and as long as nothing is known of a name, what was known last is kept.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from ipaddress import ip_address
from random import Random
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from gateway.upstream.endpoint import Endpoint

log = logging.getLogger(__name__)

_MISSED: Final = 2
_JITTER: Final = 0.1
# What says that the name does not exist, where all else says that nobody could be asked.
_UNKNOWN: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


class Resolver(Protocol):
    """Finds the addresses of a name."""

    async def __call__(self, host: str, port: int, /) -> Sequence[str]:
        """All addresses of *host*, in any order; raises OSError, `socket.gaierror` above all."""
        ...


class Endpoints(Protocol):
    """The pool, as far as its endpoints come and go."""

    def add(self, endpoints: Iterable[Endpoint], *, held: bool = False) -> None:
        """Take *endpoints* in; *held*: they get nothing yet."""
        ...

    def remove(self, endpoint: Endpoint) -> None:
        """Take *endpoint* out once it has answered what it has."""
        ...


async def look_up(host: str, port: int) -> list[str]:
    """The addresses that the system's resolver has for *host*."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Discovery:
    """Keeps an endpoint in *pool* for each address of *host*; *make* makes that of an address.

    It asks every *interval* seconds, a tenth more or less; *most* bounds the number of addresses.
    An endpoint that is *held* gets nothing at first.
    """

    def __init__(
        self,
        host: str,
        port: int,
        make: Callable[[str], Endpoint],
        pool: Endpoints,
        *,
        interval: float = 5.0,
        most: int = 64,
        held: Callable[[Endpoint], bool] = lambda _: False,
        resolver: Resolver = look_up,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        rng: Random | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._make = make
        self._pool = pool
        self._interval = interval
        self._most = most
        self._held = held
        self._resolver = resolver
        self._sleep = sleep
        self._random = (rng or Random()).random
        self._endpoints: dict[str, Endpoint] = {}
        self._missed: dict[str, int] = {}
        self._trouble = ""

    def __repr__(self) -> str:
        return f"<Discovery {self._host}:{self._port} {', '.join(self._endpoints) or 'nothing'}>"

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Those that there are now."""
        return tuple(self._endpoints.values())

    async def run(self) -> None:
        """Ask again and again until cancelled; a question that hangs only holds up the next."""
        while True:
            try:
                addresses = await self._resolver(self._host, self._port)
            except OSError as error:
                self.failed(error)
            else:
                self.found(addresses)
            await self._sleep(self._interval * (1 + _JITTER * (2 * self._random() - 1)))

    def found(self, addresses: Iterable[str]) -> None:
        """The name has *addresses* now: add those that are new, remove those that stay away."""
        wanted = self._usable(addresses)
        if not wanted:
            self._note("it has no address that can be used")
            self._forget_the_dead()
            return
        self._trouble = ""
        for address in wanted - self._endpoints.keys():
            log.info("%s has the address %s now", self._host, address)
            endpoint = self._endpoints[address] = self._make(address)
            self._pool.add([endpoint], held=self._held(endpoint))
        for address in list(self._endpoints):
            if address in wanted:
                self._missed.pop(address, None)
                continue
            self._missed[address] = self._missed.get(address, 0) + 1
            if self._missed[address] >= _MISSED:
                self._remove(address)

    def failed(self, error: OSError) -> None:
        """The name could not be resolved: keep what there is, but what the name no longer has and
        what does not answer either.
        """
        self._note(str(error))
        if isinstance(error, socket.gaierror) and error.errno in _UNKNOWN:
            self._forget_the_dead()

    def stop(self) -> None:
        """Take all its endpoints out of the pool."""
        for address in list(self._endpoints):
            self._remove(address)

    def _usable(self, addresses: Iterable[str]) -> set[str]:
        wanted: list[str] = []
        for address in sorted(set(addresses)):
            try:
                parsed = ip_address(address)
            except ValueError:
                continue
            if parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified:
                # Clouds keep the keys of a machine there; no server of ours is.
                self._note(f"its address {address} is not one of a server")
                continue
            wanted.append(address)
        if len(wanted) > self._most:
            self._note(f"it has {len(wanted)} addresses, of which {self._most} are used")
            # Those that are in use stay, whatever the order is.
            wanted.sort(key=lambda address: address not in self._endpoints)
        return set(wanted[: self._most])

    def _forget_the_dead(self) -> None:
        for address, endpoint in list(self._endpoints.items()):
            if not endpoint.liveness.up:
                self._remove(address)

    def _remove(self, address: str) -> None:
        log.info("%s no longer has the address %s", self._host, address)
        self._missed.pop(address, None)
        self._pool.remove(self._endpoints.pop(address))

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("resolving %s: %s", self._host, trouble)
