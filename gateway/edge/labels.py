# SPDX-License-Identifier: Apache-2.0
"""Labels that clients send: handed on to the control process, whose answer they get.

Nothing here is on the path of a prediction. Where the control process is down, the answer is 503.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

import msgspec

from gateway.edge.multipart import boundary_of, parts_of
from gateway.errors import InvalidRequest, LabelsUnavailable, ModelNotFound, TooLarge
from gateway.exchange import JSON, Answer
from gateway.wire.labels import LARGEST, LENGTH, LONGEST, NOBODY, Posted, answered, packed
from gateway.wire.orders import reachable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.wire.labels import Answered
    from gateway.wire.tensor import Buffer

# Of requests that are under way at once, in bytes.
_MOST: Final = 2 * LARGEST
# How long a request may take: the ledger bounds its own waits, and this is above them. In seconds.
_PATIENCE: Final = 60.0
_TARGET: Final = re.compile(rb"/v1/labels(?:\?.*)?")
_FORM: Final = "multipart/form-data"


def is_labels(target: bytes) -> bool:
    """Whether *target* is where labels are sent."""
    return _TARGET.fullmatch(target) is not None


class Labels:
    """The way to the control process that listens at *path*, connected with the first labels.

    *takes* says whether any model takes labels.
    """

    def __init__(self, path: Path, *, takes: Callable[[], bool] = lambda: True) -> None:
        self._path = path
        self._takes = takes
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Answered]] = {}
        self._bytes = 0
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Labels {self._path} waiting={len(self._waiting)}>"

    async def answer(self, target: bytes, content_type: str, tenant: str, body: Buffer) -> Answer:
        """What the control process says to the labels in *body*.

        Raises InvalidRequest, TooLarge, LabelsUnavailable, and ModelNotFound where none takes any.
        """
        if not self._takes():
            raise ModelNotFound(NOBODY)
        query = parse_qs(target.partition(b"?")[2].decode("ascii", "replace"))
        model = query.get("model", [""])[-1]
        if content_type[: len(_FORM)].lower() == _FORM:
            content_type, model, body = _form(body, content_type, model)
        size = len(body)
        if size > LARGEST:
            raise TooLarge(f"body: {size} bytes of labels, the limit is {LARGEST}; send parts")
        if self._bytes + size > _MOST:
            raise LabelsUnavailable("too many labels are under way")
        self._bytes += size
        try:
            async with asyncio.timeout(_PATIENCE):
                found = await self._ask(tenant, content_type, model, bytes(body))
        except (OSError, EOFError, TimeoutError):
            raise LabelsUnavailable(
                "labels cannot be taken now: the control process does not answer"
            ) from None
        finally:
            self._bytes -= size
        if found.status == LabelsUnavailable.status:
            raise LabelsUnavailable(msgspec.json.decode(found.body)["error"])
        return Answer(found.status, found.body, [JSON])

    def close(self) -> None:
        """Give the connection up."""
        if self._reading is not None:
            self._reading.cancel()

    async def _ask(self, tenant: str, content_type: str, model: str, body: bytes) -> Answered:
        writer = await self._connected()
        id_ = next(self._ids)
        waiting: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._waiting[id_] = waiting
        try:
            writer.write(packed(Posted(id_, tenant, content_type, model, body)))
            return await waiting
        finally:
            self._waiting.pop(id_, None)

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is None:
                connected = socket.socket(socket.AF_UNIX)
                try:
                    connected.settimeout(0)
                    with reachable(self._path) as name:
                        await asyncio.get_running_loop().sock_connect(connected, name)
                except BaseException:
                    connected.close()
                    raise
                reader, self._writer = await asyncio.open_unix_connection(
                    sock=connected, limit=1 << 20
                )
                self._reading = asyncio.create_task(self._read(reader, self._writer))
            return self._writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand answers to who waits for them until the connection ends."""
        try:
            with suppress(OSError, EOFError, ValueError):
                while True:
                    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                    if length > LONGEST * 4:
                        break
                    found = answered(await reader.readexactly(length))
                    waiting = self._waiting.get(found.id)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(found)
        finally:
            self._writer = None
            writer.close()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(EOFError("the control process went away"))


def _form(body: Buffer, content_type: str, model: str) -> tuple[str, str, Buffer]:
    """The one file of a form, and the model that the form may say; raises InvalidRequest."""
    files = []
    for part in parts_of(body, boundary_of(content_type)):
        content = memoryview(body)[part.start : part.end]
        if part.name == "model":
            model = bytes(content).decode("utf-8", "replace").strip()
        else:
            files.append(content)
    if len(files) != 1:
        raise InvalidRequest(
            f"body: {len(files)} files in the form; expected one, beside a field 'model'"
        )
    return "", model, files[0]
