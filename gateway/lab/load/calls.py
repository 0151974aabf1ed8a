# SPDX-License-Identifier: Apache-2.0
"""Calls: requests over gRPC, many at a time on a few channels. It needs the extra `lab`."""

from __future__ import annotations

import asyncio
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio

from gateway.lab import LabError
from gateway.lab.load.heads import add_timing, cache_result, count
from gateway.lab.load.messages import SERVICE, message
from gateway.lab.load.recorder import CODES, OK, TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.lab.load.recorder import Recorder
    from gateway.lab.load.run import Plan
    from gateway.lab.load.target import Target

# A channel carries a hundred calls or more; further ones spread the work of framing.
_MOST_CHANNELS: Final = 8
_INFER: Final = f"/{SERVICE}/ModelInfer"
_METADATA: Final = f"/{SERVICE}/ModelMetadata"
_SERVER: Final = f"/{SERVICE}/ServerMetadata"
_OPTIONS: Final = (
    # Otherwise all channels to one address share one connection.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)
_CLIENT: Final = frozenset({
    "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "UNAUTHENTICATED",
    "FAILED_PRECONDITION", "OUT_OF_RANGE",
})  # fmt: skip


def channel_to(target: Target) -> grpc.aio.Channel:
    """A new channel; connections are made when it is used."""
    if target.tls:
        return grpc.aio.secure_channel(
            target.address, grpc.ssl_channel_credentials(), options=_OPTIONS
        )
    return grpc.aio.insecure_channel(target.address, options=_OPTIONS)


class Calls:
    """Sends ModelInfer calls to *target* over *channels* at most; see `sender.Sender`."""

    def __init__(self, recorder: Recorder, target: Target, *, channels: int, plan: Plan) -> None:
        self.recorder = recorder
        self.ended: Callable[[int], None] = lambda _: None
        self.fill: Callable[[int], bytes] = lambda _: b""
        self.failing = False
        self._target = target
        self._number = min(channels, _MOST_CHANNELS)
        self._channels: list[grpc.aio.Channel] = []
        self._infer: list[Any] = []
        self._turn = 0
        self._timeout = round(plan.timeout * 1e9)
        self._fresh = plan.new_connections
        self._metadata = tuple((name.lower(), value) for name, value in plan.headers)
        # Calls with when they were due, taken up and sent.
        self._running: dict[asyncio.Task[None], tuple[int, int, int]] = {}

    def __repr__(self) -> str:
        return f"<Calls {self._target.address}, {len(self._running)} running>"

    @property
    def pending(self) -> int:
        """Calls in flight."""
        return len(self._running)

    async def open(self) -> None:
        """Connect all channels."""
        self._channels = [channel_to(self._target) for _ in range(self._number)]
        self._infer = [channel.unary_unary(_INFER) for channel in self._channels]
        try:
            async with asyncio.timeout(self._timeout / 1e9):
                await asyncio.gather(*(channel.channel_ready() for channel in self._channels))
        except TimeoutError:
            raise LabError(f"{self._target.address}: cannot be reached by gRPC in time") from None
        self.recorder.tally.connects += self._number

    def offer(self, due: int, number: int) -> None:
        """Start a call, on the next channel."""
        payload = self.fill(number)
        taken = perf_counter_ns()
        task = asyncio.get_running_loop().create_task(self._call(due, taken, payload))
        self._running[task] = (due, taken, taken)
        task.add_done_callback(self._done)

    async def _call(self, due: int, taken: int, payload: bytes) -> None:
        sent = perf_counter_ns()
        channel = channel_to(self._target) if self._fresh else None
        if channel is not None:
            infer = channel.unary_unary(_INFER)
        else:
            self._turn = (self._turn + 1) % self._number
            infer = self._infer[self._turn]
        counts = due >= self.recorder.begin
        tally = self.recorder.tally
        if counts:
            tally.bytes_sent += len(payload)
        try:
            left = (due + self._timeout - sent) / 1e9
            call = infer(payload, timeout=max(left, 0.0), metadata=self._metadata)
            answer = await call
            now, code, status = perf_counter_ns(), OK, "OK"
            self.failing = False
            if counts:
                tally.bytes_received += len(answer)
                self._note(await call.initial_metadata())
        except grpc.aio.AioRpcError as error:
            now, status = perf_counter_ns(), str(error.code().name)
            code = self._kind(error)
            if code == TIMEOUT:
                now = due + self._timeout
        finally:
            if channel is not None:
                await channel.close()
        if counts and code != CODES["connect"]:
            count(tally.statuses, status)
        self.recorder.row((due, taken, sent, now, code))

    def _kind(self, error: grpc.aio.AioRpcError) -> int:
        name = error.code().name
        self.failing = False
        if name == "DEADLINE_EXCEEDED":
            return TIMEOUT
        if name == "UNAVAILABLE":
            said = (error.details() or "").lower()
            if "connect" in said:
                self.failing = True
                return CODES["connect"]
            return CODES["reset"] if "socket closed" in said else CODES["shed"]
        if name == "RESOURCE_EXHAUSTED":
            return CODES["shed"]
        return CODES["client_error"] if name in _CLIENT else CODES["server_error"]

    def _note(self, metadata: Any) -> None:  # noqa: ANN401 - grpc has no types
        """What a gateway says of itself in the metadata of an answer."""
        tally = self.recorder.tally
        for name, text in metadata or ():
            value = text.encode() if isinstance(text, str) else text
            if name == "server-timing":
                add_timing(value, tally.server_timing)
            elif name == "cache-status":
                count(tally.cache, cache_result(value))
            elif name == "infergate-backend":
                count(tally.backends, value.decode())
            elif name == "infergate-model-digest":
                count(tally.digests, value.decode())

    def _done(self, task: asyncio.Task[None]) -> None:
        due, taken, sent = self._running.pop(task)
        now = perf_counter_ns()
        if task.cancelled():
            self.recorder.row((due, taken, sent, now, CODES["cut"]))
        elif task.exception() is not None:
            self.recorder.row((due, taken, sent, now, CODES["malformed"]))
        self.ended(now)

    def expire(self, now: int) -> None:
        """Calls end themselves: each has its deadline."""

    def cut(self, now: int) -> None:
        """Cancel all calls."""
        del now
        for task in list(self._running):
            task.cancel()

    async def close(self) -> None:
        """Close all channels."""
        self.cut(0)
        await asyncio.gather(*self._running, return_exceptions=True)
        await asyncio.gather(*(channel.close() for channel in self._channels))


async def described(target: Target, plan: Plan) -> tuple[Any, Any]:
    """ModelMetadataResponse and ServerMetadataResponse of the server; raises LabError."""
    metadata = tuple((name.lower(), value) for name, value in plan.headers)
    channel = channel_to(target)
    try:
        ask = channel.unary_unary(
            _METADATA, message("ModelMetadataRequest").SerializeToString,
            message("ModelMetadataResponse").FromString,
        )  # fmt: skip
        model = await ask(
            message("ModelMetadataRequest")(name=plan.model, version=plan.version),
            timeout=plan.timeout, metadata=metadata,
        )  # fmt: skip
        tell = channel.unary_unary(
            _SERVER, message("ServerMetadataRequest").SerializeToString,
            message("ServerMetadataResponse").FromString,
        )  # fmt: skip
        server = await tell(message("ServerMetadataRequest")(), timeout=plan.timeout)
    except grpc.aio.AioRpcError as error:
        raise LabError(f"{target.address}: {said(error)}") from None
    finally:
        await channel.close()
    return model, server


async def ask_once(target: Target, plan: Plan, payload: bytes) -> None:
    """Send one request; LabError with what the server says where it is no success."""
    channel = channel_to(target)
    try:
        await channel.unary_unary(_INFER)(
            payload, timeout=plan.timeout,
            metadata=tuple((name.lower(), value) for name, value in plan.headers),
        )  # fmt: skip
    except grpc.aio.AioRpcError as error:
        raise LabError(f"{target.address}: the first request: {said(error)}") from None
    finally:
        await channel.close()


def said(error: grpc.aio.AioRpcError) -> str:
    """Code and words of a gRPC error, in one line."""
    return f"{error.code().name}: {' '.join((error.details() or '').split())[:300]}"
