# SPDX-License-Identifier: Apache-2.0
"""A real redis-server for a test, which can be frozen and killed, and stores in it."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import redis

from gateway.stores.channel import Channel
from gateway.stores.opening import open_store
from gateway.stores.options import CacheConfig, RedisConfig
from gateway.telemetry import Telemetry
from gateway.wire.message import InferResponse
from gateway.wire.tensor import Tensor
from tests.support.upstream import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from gateway.stores.redis import RedisStore

# Real servers on a busy machine: far more than any call takes, so that time decides nothing.
PATIENT = RedisConfig(timeout=20, connect_timeout=20)


class RedisServer:
    """A redis-server on a Unix socket, and on *port* where it is not 0; *options* are its own."""

    def __init__(self, *options: str, port: int = 0) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="redis"))
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self.port = port
        self.path = self._directory / "s"

    def __repr__(self) -> str:
        return f"<RedisServer {self.path} port={self.port}>"

    @property
    def url(self) -> str:
        """That of the Unix socket."""
        return f"unix:{self.path}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        shutil.rmtree(self._directory)

    def start(self) -> None:
        """Start it, or start it again, and wait until it listens."""
        self._process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "eady to accept connections" in line and (" at /" in line or "unix" in line):
                return
            if "monitor master" in line:
                return
        raise AssertionError(f"redis-server did not start: {''.join(said)}")

    def command(self) -> list[str]:
        """How it is started."""
        return [
            "redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
            "--unixsocket", str(self.path), "--dir", str(self._directory),
            "--save", "", "--appendonly", "no", *self._options,
        ]  # fmt: skip

    def told(self, *command: Any) -> Any:
        """The reply to *command*, as it came."""
        with redis.Redis(unix_socket_path=str(self.path)) as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def kill(self) -> None:
        """End it at once, frozen or not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None
            self.path.unlink(missing_ok=True)

    def freeze(self) -> None:
        """Have it do nothing: connections stay, and new ones are accepted by the kernel."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def say(self, *command: Any) -> Any:
        """The reply to *command*."""
        with redis.Redis(unix_socket_path=str(self.path)) as client:
            return client.execute_command(*command)


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        port: int = each.getsockname()[1]
        return port


def response(payload: bytes = b"0123") -> InferResponse:
    """An answer that holds *payload*."""
    return InferResponse((Tensor("y", "UINT8", (len(payload),), payload),), "1")


def payload(value: InferResponse) -> bytes:
    """What `response` was given."""
    return bytes(value.outputs[0].data)


class Times:
    """The clocks of a store under test: *now* since 1970, *clock* for its breaker."""

    def __init__(self) -> None:
        self.now = Clock()
        self.clock = Clock()


@asynccontextmanager
async def store_at(
    url: str,
    options: RedisConfig = PATIENT,
    *,
    times: Times | None = None,
    known: bool = True,
    **changes: Any,
) -> AsyncIterator[RedisStore]:
    """A store at *url* with *options* less *changes*; *known*: it has been told of all purges."""
    times = times or Times()
    store = open_store(
        CacheConfig(store=url, redis=msgspec.structs.replace(options, **changes)),
        telemetry=Telemetry(),
        now=times.now,
        clock=times.clock,
    )
    if known:
        assert await store.generations.refresh()
    try:
        yield store
    finally:
        await store.aclose()


async def written(store: RedisStore) -> None:
    """Wait until nothing waits to be written."""
    while store.writes.bytes:  # noqa: ASYNC110 - it owes nobody an event for this
        await asyncio.sleep(0)


async def seen(store: RedisStore, state: str) -> None:
    """Wait until the breaker for look-ups has *state*."""
    while store.state != state:  # noqa: ASYNC110 - it owes nobody an event for this
        await asyncio.sleep(0)


def state(of: RedisStore | Channel) -> str:
    """That of the breaker for look-ups, or of one way; asked anew each time."""
    return of.breaker.state if isinstance(of, Channel) else of.state
