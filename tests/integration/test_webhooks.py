# SPDX-License-Identifier: Apache-2.0
"""Webhooks: a receiver that is slow, down, wrong or elsewhere; nobody waits for it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.config.load import read
from gateway.control.webhooks import ATTEMPTS, LONGEST_PAUSE, MOST, Webhooks
from gateway.errors import ConfigError
from gateway.quality.events import Event
from gateway.quality.webhook_options import WebhookConfig
from gateway.telemetry import Telemetry

SECRET = "a secret of the receiver"


def event(name: str = "promote", kind: Any = "decision") -> Event:
    """Something to tell."""
    return Event(kind, name, "m", "It was promoted.", 1000.0, {"share": 1.0})


class Receiver:
    """A server of the receiver: what came, and what it answers, the last one for ever."""

    def __init__(self) -> None:
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.statuses = [200]
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Take an event."""
        self.came.append((dict(request.headers), await request.read()))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        headers = {"Location": "/elsewhere"} if status == 302 else {}
        return web.Response(status=status, headers=headers)

    def config(self, **more: Any) -> WebhookConfig:
        """The section that names it."""
        url = more.pop("url", f"http://127.0.0.1:{self.port}/hook?token=hidden")
        return WebhookConfig(url=url, secret=SECRET, **more)


class Counting(Webhooks):
    """Webhooks that say when they have counted an event."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.counted = asyncio.Event()

    def _count(self, kind: str, result: str) -> None:
        super()._count(kind, result)
        self.counted.set()


class Scene:
    """Webhooks that run, with *pauses* instead of sleep."""

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        self.pauses: list[float] = []
        self.telemetry = Telemetry()
        self.hooks = Counting(
            telemetry=self.telemetry, sleep=self.sleep, clock=lambda: 1234.0, resolver=resolver
        )

    async def sleep(self, seconds: float) -> None:
        """Remember, and go on."""
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    def counts(self) -> dict[str, float]:
        """Events by what became of them."""
        counts: dict[str, float] = {}
        for (_, result), cell in self.telemetry.candidates.webhooks.cells.items():
            counts[result] = counts.get(result, 0.0) + cell.value
        return counts

    async def until(self, **wanted: float) -> None:
        """Wait until these were counted."""
        while not wanted.items() <= self.counts().items():
            self.hooks.counted.clear()
            await self.hooks.counted.wait()


@asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[None]:
    """Have *receiver* listen."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server = site._server
    assert isinstance(server, asyncio.Server)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        await runner.cleanup()


async def run(
    work: Callable[[Scene, Receiver], Awaitable[None]],
    *,
    statuses: list[int] | None = None,
    resolver: AbstractResolver | None = None,
) -> tuple[Scene, Receiver]:
    """Do *work* while webhooks and their receiver run."""
    scene, receiver = Scene(resolver), Receiver()
    receiver.statuses = statuses or [200]
    async with receiving(receiver):
        task = asyncio.create_task(scene.hooks.run())
        try:
            await work(scene, receiver)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    return scene, receiver


async def test_an_event_is_signed() -> None:
    """Over its time and its body, as the receiver computes it from what it has."""

    async def work(scene: Scene, receiver: Receiver) -> None:
        scene.hooks.follow([receiver.config()])
        scene.hooks.notify(event())
        await scene.until(sent=1)

    _, receiver = await run(work)
    ((headers, body),) = receiver.came
    told = json.loads(body)
    wanted = hmac.new(SECRET.encode(), b"1234." + body, hashlib.sha256).hexdigest()
    assert headers["Infergate-Signature"] == f"t=1234,v1={wanted}"
    assert (told["kind"], told["name"], told["model"]) == ("decision", "promote", "m")
    assert told["detail"] == {"share": 1.0}
    assert SECRET not in body.decode()


async def test_a_receiver_that_fails_is_asked_again() -> None:
    """With pauses that grow, and the same body under the same id."""

    async def work(scene: Scene, receiver: Receiver) -> None:
        scene.hooks.follow([receiver.config()])
        scene.hooks.notify(event())
        await scene.until(sent=1)

    scene, receiver = await run(work, statuses=[500, 503, 429, 204])
    assert scene.pauses == [1.0, 2.0, 4.0]
    assert len({body for _, body in receiver.came}) == 1


async def test_a_receiver_that_is_down_gets_what_comes_later() -> None:
    """Each event has its attempts; none is waited for by who told it."""

    async def work(scene: Scene, receiver: Receiver) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        scene.hooks.follow([receiver.config(url=f"http://127.0.0.1:{port}/")])
        scene.hooks.notify(event())
        await scene.until(failed=1)

    scene, _ = await run(work)
    assert len(scene.pauses) == ATTEMPTS - 1
    assert max(scene.pauses) == LONGEST_PAUSE
    assert sum(scene.pauses) == 367.0


@pytest.mark.parametrize("status", [302, 400, 404, 410])
async def test_what_another_attempt_cannot_mend_is_not_tried_again(status: int) -> None:
    """And no redirect is followed: it could lead anywhere."""

    async def work(scene: Scene, receiver: Receiver) -> None:
        scene.hooks.follow([receiver.config()])
        scene.hooks.notify(event())
        await scene.until(refused=1)

    scene, receiver = await run(work, statuses=[status])
    assert len(receiver.came) == 1
    assert scene.pauses == []


async def test_too_many_events_are_dropped_and_counted() -> None:
    """The newest: the first ones are about the beginning."""
    scene, receiver = Scene(), Receiver()
    scene.hooks.follow([receiver.config(url="http://127.0.0.1:1/")])
    for number in range(MOST + 3):
        scene.hooks.notify(event(str(number)))

    assert scene.counts() == {"dropped": 3}


async def test_only_what_was_asked_for_is_sent() -> None:
    """And another configuration holds from then on."""

    async def work(scene: Scene, receiver: Receiver) -> None:
        scene.hooks.follow([receiver.config(events=("drift",))])
        scene.hooks.notify(event())
        scene.hooks.notify(event("feature", "drift"))
        await scene.until(sent=1)
        scene.hooks.follow([receiver.config()])
        scene.hooks.notify(event("roll back"))
        await scene.until(sent=2)
        scene.hooks.follow([])
        scene.hooks.notify(event("never"))

    _, receiver = await run(work)
    assert [json.loads(body)["name"] for _, body in receiver.came] == ["feature", "roll back"]


class Leading(AbstractResolver):
    """Every name is at *address*."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """There."""
        return [
            ResolveResult(hostname=host, host=self.address, port=port, family=socket.AF_INET,
                          proto=0, flags=0)
        ]  # fmt: skip

    async def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "0.0.0.0", "::ffff:169.254.1.1"])  # noqa: S104 - refused
async def test_a_name_that_leads_to_a_link_local_address_is_not_asked(address: str) -> None:
    """Where clouds keep credentials; looked at when it is asked, as names change."""

    async def work(scene: Scene, receiver: Receiver) -> None:
        scene.hooks.follow([receiver.config(url="http://innocent.example/")])
        scene.hooks.notify(event())
        await scene.until(refused=1)

    await run(work, resolver=Leading(address))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://169.254.169.254/latest", "link-local addresses are not asked"),
        ("http://[fe80::1]/", "link-local addresses are not asked"),
        ("https://user:pass@host/", "a user or password in it would be sent to any"),
        ("ftp://host/", "expected http://… or https://…"),
    ],
)
def test_a_bad_address_is_a_fault_of_the_file(url: str, words: str) -> None:
    """Named where it stands, without what may be secret in it."""
    text = (
        f"webhooks: [{{url: '{url}', secret: 0123456789abcdef}}]\n"
        "models: {a: {backends: [{address: 'unix:x'}]}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        read(text, name="f", files=False)
    assert words in caught.value.faults[0]
    assert "user:pass" not in caught.value.faults[0]
