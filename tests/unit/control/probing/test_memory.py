# SPDX-License-Identifier: Apache-2.0
"""Memory: golden answers outlive the process where the ledger can be used, and the round if not."""

from __future__ import annotations

import numpy as np

from gateway.control.probing.memory import Memory
from gateway.quality.database import Unusable
from gateway.quality.probes.golden import compare, golden_of
from gateway.wire.tensor import Tensor


class Shelf:
    """What a ledger keeps, or does not."""

    def __init__(self) -> None:
        self.kept_: dict[str, bytes] = {}
        self.fault: Unusable | None = None

    async def keep(self, name: str, data: bytes | None) -> None:
        """Keep it."""
        if self.fault is not None:
            raise self.fault
        if data is None:
            self.kept_.pop(name, None)
        else:
            self.kept_[name] = data

    async def kept(self, name: str) -> bytes | None:
        """What was kept."""
        if self.fault is not None:
            raise self.fault
        return self.kept_.get(name)


OUTPUTS = (Tensor.of("y", np.arange(3, dtype=np.int64)),)


async def test_another_life_finds_what_was_kept() -> None:
    """Golden answers and texts, until they are forgotten."""
    shelf = Shelf()
    memory = Memory(shelf)
    assert await memory.golden("a") is None
    await memory.set_golden("a", golden_of("d", 1.0, OUTPUTS))
    await memory.set_text("b", "digest")
    other = Memory(shelf)
    golden = await other.golden("a")
    assert golden is not None
    assert compare(golden, OUTPUTS).same
    assert await other.text("b") == "digest"
    await other.set_golden("a", None)
    await other.set_text("b", "")
    assert shelf.kept_ == {}
    assert (await other.golden("a"), await other.text("b")) == (None, "")


async def test_without_a_ledger_this_process_remembers() -> None:
    """Rounds go on; only the next life begins anew."""
    shelf = Shelf()
    shelf.fault = Unusable("full", "there is no room")
    memory = Memory(shelf)
    assert (await memory.golden("a"), await memory.text("b")) == (None, "")
    await memory.set_golden("a", golden_of("d", 1.0, OUTPUTS))
    await memory.set_text("b", "digest")
    assert await memory.golden("a") is not None
    assert await memory.text("b") == "digest"


async def test_what_cannot_be_read_is_made_anew() -> None:
    """A form of another version."""
    shelf = Shelf()
    shelf.kept_["a/golden"] = b"\x01"
    assert await Memory(shelf).golden("a") is None
