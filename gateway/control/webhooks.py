# SPDX-License-Identifier: Apache-2.0
"""Webhooks: events go out as signed POSTs, behind the back of whoever tells them.

The signature is ``Infergate-Signature: t=SECONDS,v1=HEX``: HMAC-SHA256 under the secret over
``SECONDS.BODY``, so that neither body nor time can be changed, nor an old event be sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import DefaultResolver

from gateway.quality.webhook_options import is_refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiohttp.abc import ResolveResult

    from gateway.quality.events import Event
    from gateway.quality.webhook_options import WebhookConfig
    from gateway.telemetry import Telemetry

log: Final = logging.getLogger(__name__)

# Events that may wait for one address; beyond it the newest are dropped and counted.
MOST: Final = 256
# How long one attempt may take, in seconds.
TIMEOUT: Final = 10.0
# Attempts at one event, and the pauses between them in seconds: together about six minutes.
ATTEMPTS: Final = 10
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 120.0
# Answers that may be others later.
_LATER: Final = frozenset({408, 425, 429})


class Refused(OSError):
    """The name leads to an address that is not asked."""


class Webhooks:
    """Takes events by `notify`; `follow` says who is told of them.

    *sleep* waits for seconds, *clock* is wall-clock time.
    """

    def __init__(
        self,
        *,
        telemetry: Telemetry,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._sleep = sleep
        self._clock = clock
        self._resolver = resolver
        self._hooks: dict[WebhookConfig, _Hook] = {}
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Webhooks {list(self._hooks.values())}>"

    def follow(self, configs: Sequence[WebhookConfig]) -> None:
        """Tell these; one that is no longer there loses what waits for it."""
        if list(self._hooks) == list(configs):
            return
        self._hooks = {config: self._hooks.get(config) or _Hook(config) for config in configs}
        self._changed.set()

    def notify(self, event: Event) -> None:
        """Have *event* sent to whoever asked for its kind; never waits."""
        body = orjson.dumps({
            "id": str(uuid4()),
            "kind": event.kind,
            "name": event.name,
            "model": event.model,
            "sentence": event.sentence,
            "time": event.time,
            "detail": event.detail,
        })  # fmt: skip
        for hook in self._hooks.values():
            if event.kind not in hook.config.events:
                continue
            if len(hook.waiting) >= MOST:
                self._count(event.kind, "dropped")
                continue
            hook.waiting.append((event.kind, body))
            hook.filled.set()

    async def run(self) -> None:
        """Send what waits until cancelled."""
        running: dict[_Hook, asyncio.Task[None]] = {}
        try:
            while True:
                self._changed.clear()
                wanted = set(self._hooks.values())
                for hook in running.keys() - wanted:
                    running.pop(hook).cancel()
                for hook in wanted - running.keys():
                    running[hook] = asyncio.create_task(self._serve(hook))
                await self._changed.wait()
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)

    async def _serve(self, hook: _Hook) -> None:
        connector = aiohttp.TCPConnector(
            resolver=_Careful(self._resolver or DefaultResolver()), limit=1, force_close=True
        )
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            trust_env=False,
        ) as session:
            while True:
                while not hook.waiting:
                    hook.filled.clear()
                    await hook.filled.wait()
                kind, body = hook.waiting[0]
                result = await self._deliver(session, hook, body)
                hook.waiting.popleft()
                self._count(kind, result)

    async def _deliver(self, session: aiohttp.ClientSession, hook: _Hook, body: bytes) -> str:
        pause, why = FIRST_PAUSE, ""
        for attempt in range(1, ATTEMPTS + 1):
            why, again = await self._attempt(session, hook, body)
            if not why:
                return "sent"
            if not again:
                log.warning("webhook %s does not take an event: %s", hook.place, why)
                return "refused"
            if attempt < ATTEMPTS:
                await self._sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        log.warning("webhook %s got no event in %d attempts: %s", hook.place, ATTEMPTS, why)
        return "failed"

    async def _attempt(
        self, session: aiohttp.ClientSession, hook: _Hook, body: bytes
    ) -> tuple[str, bool]:
        """Why it was not taken, "" where it was, and whether to try again."""
        headers = {
            "Content-Type": "application/json",
            "Infergate-Signature": signature(hook.config.secret, body, at=int(self._clock())),
        }
        try:
            async with session.post(
                hook.config.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                status = answer.status
        except aiohttp.ClientConnectorError as error:
            return type(error).__name__, not isinstance(error.os_error, Refused)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # Its text may name the address, which may be a secret.
            return type(error).__name__, True
        if 200 <= status < 300:
            return "", False
        return f"status {status}", status >= 500 or status in _LATER

    def _count(self, kind: str, result: str) -> None:
        self._telemetry.candidates.webhooks.cell(kind, result).value += 1


class _Hook:
    """One address and what waits for it."""

    def __init__(self, config: WebhookConfig) -> None:
        self.config = config
        parts = urlsplit(config.url)
        # What may be shown of the address.
        self.place = f"{parts.scheme}://{parts.hostname}"
        self.waiting: deque[tuple[str, bytes]] = deque()
        self.filled = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Webhook {self.place} {len(self.waiting)} waiting>"


class _Careful(AbstractResolver):
    """Resolves as *inner* does, and gives no address that is not to be asked.

    Looked at here and not before, since a name may lead elsewhere a moment later.
    """

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if any(is_refused(each["host"]) for each in found):
            raise Refused(f"{host} leads to an address that is not asked")
        return found

    async def close(self) -> None:
        await self._inner.close()


def signature(secret: str, body: bytes, *, at: int) -> str:
    """The header of *body*, sent *at* seconds since the epoch."""
    told = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={told}"
