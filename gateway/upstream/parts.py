# SPDX-License-Identifier: Apache-2.0
"""Parts: the body of an HTTP request whose tensors stay where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp.abc import AbstractStreamWriter

    from gateway.wire.tensor import Buffer


class Parts(aiohttp.Payload):
    """A body that is written part by part: no tensor is copied, and its length is known."""

    def __init__(self, parts: Sequence[Buffer]) -> None:
        super().__init__(parts)
        self._size = sum(len(part) for part in parts)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Only a debugger would ask."""
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all parts."""
        for part in self._value:
            await writer.write(part)

    async def write_with_length(
        self,
        writer: AbstractStreamWriter,
        content_length: int | None,  # noqa: ARG002 - it is the size of the parts
    ) -> None:
        """As `write`."""
        await self.write(writer)
