# SPDX-License-Identifier: Apache-2.0
"""The endpoints that a configuration makes of its backends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.config.load import read
from gateway.config.placement import placed
from gateway.errors import ConfigError
from gateway.pools import Name, make_endpoint, make_pool, names, spots
from gateway.telemetry import Telemetry
from gateway.upstream.link import Link
from gateway.upstream.remote import Remote
from gateway.wire.generation import Generation, Setting
from tests.support.upstream import settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.upstream.pool import Pool


class Names:
    """A name server with fixed answers; it keeps what it was asked."""

    def __init__(self, **addresses: list[str]) -> None:
        self.asked: list[tuple[str, int]] = []
        self._addresses = addresses

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of *host*."""
        self.asked.append((host, port))
        return self._addresses[host.partition(".")[0]]


def pool(backends: str, resolver: Names | None = None, **settings: Setting) -> Pool:
    """The pool of a model ``m`` with *backends*, as a gateway process makes it."""
    config = read(f"models: {{m: {{backends: [{backends}]}}}}", name="f", files=False)
    section = config.models["m"]
    made = make_pool("m", section, telemetry=Telemetry(models=["m"]))
    generation = Generation(1, "f", placed(config), settings)
    for spot in spots("m", section, generation, Path("/run")):
        made.add([make_endpoint(spot, section, made)])
    for backend in names(section):
        made.follow(
            Name(
                backend,
                section,
                made,
                settings=generation.setting,
                resolver=resolver or Names(),
            )
        )
    return made


def places(of: Pool) -> dict[str, str]:
    """The address of each endpoint by its name."""
    return {endpoint.name: endpoint.transport.address for endpoint in of.endpoints}


async def resolved(backends: str, resolver: Names) -> dict[str, str]:
    """The endpoints once all names have been resolved."""
    made = pool(backends, resolver)
    running = asyncio.ensure_future(made.run(interval=60, timeout=1, jitter=0))
    await settle()
    found = places(made)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return found


def test_every_kind_of_backend_is_in_one_pool() -> None:
    """In the configuration's order, each under a name of its own."""
    made = pool(
        "{worker: {path: p, replicas: 2}}, {address: 'tcp:h:9'}, {url: 'http://h:8000', weight: 3}"
    )
    assert list(places(made)) == ["m-0", "m-1", "tcp:h:9", "m@h:8000"]
    assert [type(endpoint.transport) for endpoint in made.endpoints] == [Link, Link, Link, Remote]
    assert made.endpoints[3].weight == 3


async def test_a_name_becomes_an_endpoint_for_each_of_its_addresses() -> None:
    """The name stays in the endpoint's; the port is that of the scheme where none is named."""
    server = Names(far=["10.0.0.2", "10.0.0.1"])
    assert await resolved("{url: 'https://far.svc', resolve: 5s}", server) == {
        "m@far.svc:443#10.0.0.1": "https://far.svc at 10.0.0.1",
        "m@far.svc:443#10.0.0.2": "https://far.svc at 10.0.0.2",
    }
    assert server.asked == [("far.svc", 443)]


async def test_what_operators_said_holds_for_an_address_that_comes_back() -> None:
    """A drained endpoint is connected and sent nothing, a weighed one has its weight."""
    server = Names(far=["10.0.0.1", "10.0.0.2"])
    said = {
        "m@far:80#10.0.0.1": Setting(drained=True),
        "m@far:80#10.0.0.2": Setting(weight=7.0),
    }
    made = pool("{url: 'http://far', resolve: 5s, weight: 2}", server, **said)
    running = asyncio.ensure_future(made.run(interval=60, timeout=1, jitter=0))
    await settle()
    assert [(each.name, each.weight) for each in made.held] == [("m@far:80#10.0.0.1", 2)]
    assert [(each.name, each.weight) for each in made.endpoints] == [("m@far:80#10.0.0.2", 7)]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_name_of_workers_is_resolved_the_same_way() -> None:
    """IPv6 too."""
    server = Names(far=["10.0.0.1", "2001:db8::1"])
    assert await resolved("{address: 'tcp:far.svc:9000', resolve: 1m}", server) == {
        "tcp:far.svc:9000#10.0.0.1": "tcp:10.0.0.1:9000",
        "tcp:far.svc:9000#2001:db8::1": "tcp:[2001:db8::1]:9000",
    }
    assert server.asked == [("far.svc", 9000)]


@pytest.mark.parametrize("more", ["", ", resolve: 5s"])
def test_a_certificate_that_is_none_ends_the_start(tmp_path: Path, more: str) -> None:
    """With its URL and what is wrong; before any address is known, too."""
    (tmp_path / "ca.pem").write_text("nothing of the kind")
    backend = f"{{url: 'https://far', remote: {{tls: {{ca: {tmp_path / 'ca.pem'}}}}}{more}}}"
    with pytest.raises(ConfigError, match=r"remote\.tls of https://far: cannot be used"):
        pool(backend)


def test_an_unverified_server_is_one_by_request_alone() -> None:
    """Otherwise its certificate is checked, and its name in it."""
    for told, checked in (("{}", True), ("{verify: false}", False)):
        made = pool(f"{{url: 'https://far', remote: {{tls: {told}}}}}")
        context = made.endpoints[0].transport._caller._tls  # type: ignore[attr-defined]
        assert context.check_hostname is checked


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ("{}", "expected either worker, address or url"),
        ("{url: 'http://h', address: 'tcp:h:1'}", "expected either worker, address or url"),
        ("{address: 'tcp:h:1', remote: {model: x}}", "expected url beside it"),
        ("{url: 'http://h', remote: {tls: {verify: false}}}", "begin with https://"),
        ("{url: 'http://169.254.169.254'}", "link-local"),
        ("{address: 'tcp:[fe80::1]:9'}", "link-local"),
        ("{url: 'http://10.0.0.1', resolve: 5s}", "resolve is for a name"),
        ("{address: 'unix:/run/x', resolve: 5s}", "resolve is for a name"),
        ("{worker: {path: p}, resolve: 5s}", "resolve is for a name"),
        ("{url: 'http://h', resolve: 1ms}", "resolve: expected at least 100ms"),
        ("{url: 'http://h/v2'}", "url: expected http://HOST:PORT"),
        ("{url: 'http://h', remote: {headers: {Content-Length: '3'}}}", "set by the gateway"),
        ("{url: 'http://h', remote: {headers: {'a b': x}}}", 'headers."a b": as a name'),
        ("{url: 'http://h', remote: {version: a/b}}", "remote.version: expected text"),
        ("{url: 'https://h', remote: {tls: {key: k}}}", "key is there without cert"),
        ("{url: 'https://h', remote: {tls: {ca: c, verify: false}}}", "ca is of no use"),
        ("{url: 'http://h'}, {url: 'http://h/'}", "the address h:80 is there twice"),
    ],
)
def test_a_backend_that_cannot_be_is_refused(backend: str, said: str) -> None:
    """With what is wrong and what would be right."""
    with pytest.raises(ConfigError) as raised:
        pool(backend)
    assert said in str(raised.value)


def test_a_header_cannot_smuggle_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment holds; and what it holds is not repeated."""
    monkeypatch.setenv("TOKEN", "s3cret\r\nX-Other: 1")
    with pytest.raises(ConfigError) as raised:
        pool("{url: 'http://h', remote: {headers: {Authorization: '${TOKEN}'}}}")
    assert "headers.Authorization" in str(raised.value)
    assert "s3cret" not in str(raised.value)
