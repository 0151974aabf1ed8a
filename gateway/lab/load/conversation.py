# SPDX-License-Identifier: Apache-2.0
"""Conversation: what a coordinator and the shares of a load say to each other.

Frames of MessagePack with their length before them, over a socket. The coordinator asks for the
clock, gives a `Job`, and a `Start` when all are `Ready`; a share tells `Sight`s and at last `Done`.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Any, Final

import msgspec

from gateway.lab.load.generator import Sight
from gateway.lab.load.recorder import Tally, pack, unpack
from gateway.lab.load.run import Health, Plan
from gateway.lab.load.supply import Template

_LENGTH: Final = struct.Struct("<I")
# A job holds all templates of a run; the sight of a stranger is refused far below this.
LARGEST: Final = 1 << 30


class Clock(msgspec.Struct, tag=True):
    """Asked with 0, answered with the time.perf_counter_ns of the other."""

    now: int = 0


class Job(msgspec.Struct, tag=True, kw_only=True):
    """What share *share* of *shares* is to do. *trace* holds instants as float64 bytes."""

    plan: Plan
    templates: list[Template]
    share: int = 0
    shares: int = 1
    warmup: float = 0.0
    trace: bytes = b""
    # Sends what will be repeated, so that a cache knows it.
    primes: bool = False


class Ready(msgspec.Struct, tag=True):
    """The share could start now; *inputs* different ones can be made."""

    inputs: int = 0


class Start(msgspec.Struct, tag=True):
    """Offer load from *at*, in the share's own clock."""

    at: int


class Begin(msgspec.Struct, tag=True):
    """The measured window begins at *at*, in the share's own clock."""

    at: int


class Stop(msgspec.Struct, tag=True):
    """Offer no more, and tell what there is."""


class Done(msgspec.Struct, tag=True, kw_only=True):
    """The end of a job."""

    tally: Tally
    health: Health
    measured: float = 0.0


class Failed(msgspec.Struct, tag=True):
    """The job cannot be done, for a reason in one line."""

    message: str


ToShare = Clock | Job | Start | Begin | Stop
FromShare = Clock | Ready | Sight | Done | Failed
_encoder: Final = msgspec.msgpack.Encoder(enc_hook=pack)
_to_share: Final[msgspec.msgpack.Decoder[ToShare]] = msgspec.msgpack.Decoder(
    ToShare, dec_hook=unpack
)
_from_share: Final[msgspec.msgpack.Decoder[FromShare]] = msgspec.msgpack.Decoder(
    FromShare, dec_hook=unpack
)


class Gone(ConnectionError):
    """The other end is gone, or does not speak as it should."""


class Line:
    """One end of a conversation."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def __repr__(self) -> str:
        return f"<Line {self._writer.get_extra_info('peername')}>"

    async def say(self, what: ToShare | FromShare) -> None:
        """Send *what*; raises Gone."""
        data = _encoder.encode(what)
        self._writer.write(_LENGTH.pack(len(data)) + data)
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise Gone(str(error)) from None

    async def ordered(self) -> ToShare:
        """What the coordinator says next; raises Gone."""
        order: ToShare = await self._next(_to_share)
        return order

    async def told(self) -> FromShare:
        """What the share says next; raises Gone."""
        said: FromShare = await self._next(_from_share)
        return said

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _next(self, decoder: msgspec.msgpack.Decoder[Any]) -> Any:  # noqa: ANN401 - a union
        try:
            (size,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if size > LARGEST:
                raise Gone("a frame that is too large")
            return decoder.decode(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Gone("the connection has ended") from None
        except (msgspec.MsgspecError, ValueError) as error:
            raise Gone(f"a frame that is not understood: {error}") from None
