# SPDX-License-Identifier: Apache-2.0
"""Handover: what was noted goes out, and what does not is counted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.sampling.handover import AT_ONCE, Handover
from gateway.sampling.outlet import Outlet
from gateway.telemetry import Telemetry
from gateway.wire.samples import LENGTH, Lost, Samples, decode
from tests.support.notes import answer, note, recorder

if TYPE_CHECKING:
    from gateway.wire.samples import Message

A = (0.9, 0.1, 0.0)


class Lines(Outlet):
    """An outlet that keeps what it is given, up to *room* messages."""

    def __init__(self, room: int = 1000) -> None:
        super().__init__(Path("nowhere"))
        self.room = room
        self.messages: list[Message] = []

    def offer(self, message: bytes) -> bool:
        """Keep it."""
        if len(self.messages) >= self.room:
            return False
        assert LENGTH.unpack(message[: LENGTH.size]) == (len(message) - LENGTH.size,)
        self.messages.append(decode(message[LENGTH.size :]))
        return True


async def test_all_that_was_noted_goes_out_in_pieces() -> None:
    """And is counted by role; the loop has its turn between two of them."""
    telemetry, lines = Telemetry(["m"]), Lines()
    turns = []

    async def sleep(seconds: float) -> None:
        turns.append(seconds)
        await asyncio.sleep(0)

    handover = Handover(lines, telemetry=telemetry, sleep=sleep)
    made = recorder(telemetry)
    handover.add(made)
    for number in range(2 * AT_ONCE + 1):
        made.put(note(answer(A), str(number)))

    await handover.empty()

    found = [each for each in lines.messages if isinstance(each, Samples)]
    assert [len(each) for each in found] == [AT_ONCE, AT_ONCE, 1]
    assert [id_ for each in found for id_ in each.ids] == [str(n) for n in range(2 * AT_ONCE + 1)]
    assert turns == [0, 0, 0]
    assert telemetry.sampling.samples.cell("m", "live").value == 2 * AT_ONCE + 1


async def test_what_finds_no_room_is_counted_and_told_later() -> None:
    """The control process is told how much it has missed, once it hears again."""
    telemetry, lines = Telemetry(["m"]), Lines(room=0)
    handover = Handover(lines, telemetry=telemetry)
    made = recorder(telemetry)
    handover.add(made)
    for _ in range(2):
        made.put(note(answer(A, A), rows=2))
        await handover.empty()
    assert telemetry.sampling.samples_lost.cell("m", "control_down").value == 4

    lines.room, lines.up = 10, True
    await handover.empty()
    assert lines.messages == [Lost("m", {"control_down": 4})]
    assert telemetry.sampling.samples.cells == {}


async def test_a_model_that_is_gone_is_forgotten_when_it_is_empty() -> None:
    """What its last requests have left behind is handed over before."""
    lines = Lines()
    handover = Handover(lines, telemetry=Telemetry(["m"]))
    made = recorder()
    handover.add(made)
    made.put(note(answer(A)))
    handover.retire(made)
    handover.retire(recorder())

    await handover.empty()
    assert len(lines.messages) == 1
    assert repr(handover).startswith("<Handover [] ")


async def test_nothing_runs_before_there_is_something_to_do() -> None:
    """A deployment without samples has no timer for them."""
    slept = asyncio.Event()

    async def sleep(_: float) -> None:
        slept.set()
        await asyncio.sleep(0)

    handover = Handover(Lines(), telemetry=Telemetry(["m"]), sleep=sleep)
    task = asyncio.ensure_future(handover.run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not slept.is_set()

    handover.add(recorder())
    await slept.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
