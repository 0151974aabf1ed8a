# SPDX-License-Identifier: Apache-2.0
"""Any process answers for all; totals never fall; what a dead process held is not shown."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry import Board, Telemetry


def value(text: bytes, name: str, **labels: str) -> float | None:
    """The sample *name* with *labels* in a scrape, None where it is missing."""
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


def process(index: int) -> Telemetry:
    """The telemetry of one gateway process."""
    return Telemetry(["digits"], process=f"gateway-{index}")


def shed(telemetry: Telemetry, count: int) -> None:
    """Count *count* refusals."""
    telemetry.shed.cell("digits", "queue_full").value += count


def total(text: bytes) -> float | None:
    """The refusals that a scrape shows."""
    return value(text, "infergate_shed_total", model="digits")


def test_every_process_answers_for_all(tmp_path: Path) -> None:
    """Own values are live, those of siblings are the last that they posted."""
    telemetries = [process(index) for index in range(3)]
    boards = [Board.open(tmp_path, telemetry) for telemetry in telemetries]
    for count, (telemetry, board) in enumerate(zip(telemetries, boards, strict=True), start=1):
        shed(telemetry, count)
        board.publish()

    assert [total(board.collect()) for board in boards] == [6, 6, 6]

    shed(telemetries[0], 10)

    assert total(boards[0].collect()) == 16


def test_a_restarted_process_goes_on_from_its_file(tmp_path: Path) -> None:
    """A restart does not look like a fall of all counters."""
    first = process(0)
    shed(first, 5)
    Board.open(tmp_path, first).publish()

    second = process(0)
    board = Board.open(tmp_path, second)
    shed(second, 1)

    assert total(board.collect()) == 6


def test_what_a_scrape_has_shown_survives_a_kill(tmp_path: Path) -> None:
    """A process killed right after a scrape comes back with at least what the scrape showed."""
    first = process(0)
    board = Board.open(tmp_path, first)
    board.publish()
    shed(first, 5)
    shown = total(board.collect())

    assert total(Board.open(tmp_path, process(0)).collect()) == shown == 5


@pytest.mark.parametrize(
    ("age", "alive"), [(6.0, True), (-1.0, True), (0.0, False)],
    ids=["silent", "of an earlier boot", "dead"],
)  # fmt: skip
def test_gauges_of_a_process_that_is_gone_vanish(tmp_path: Path, age: float, alive: bool) -> None:  # noqa: FBT001 - a case
    """Its counters stay; what it held would be wrong."""
    gone = process(1)
    shed(gone, 2)
    gone.queued_rows.cell("digits").value = 40
    Board.open(tmp_path, gone).publish()
    board = Board(tmp_path, process(0), clock=lambda: time.monotonic() + age, alive=lambda _: alive)

    text = board.collect()

    assert total(text) == 2
    assert value(text, "infergate_queued_rows") is None


def test_gauges_of_a_live_process_are_shown(tmp_path: Path) -> None:
    """The state of a sibling that posts counts."""
    sibling = process(1)
    sibling.queued_rows.cell("digits").value = 40
    Board.open(tmp_path, sibling).publish()

    assert value(Board.open(tmp_path, process(0)).collect(), "infergate_queued_rows") == 40


@pytest.mark.parametrize("content", [b"", b"\x00garbage", b"\x94\xa1x"])
def test_a_damaged_file_is_left_out(tmp_path: Path, content: bytes) -> None:
    """A scrape shows what can be read; a process starts from nothing where its file cannot be."""
    (tmp_path / "gateway-1.msgpack").write_bytes(content)
    (tmp_path / "gateway-0.msgpack").write_bytes(content)
    telemetry = process(0)
    board = Board.open(tmp_path, telemetry)
    shed(telemetry, 1)

    assert total(board.collect()) == 1


def test_an_older_snapshot_never_replaces_a_newer_one(tmp_path: Path) -> None:
    """A post that was overtaken on its thread is dropped."""
    telemetry = process(0)
    board = Board.open(tmp_path, telemetry)
    older = telemetry.take()
    shed(telemetry, 3)
    board.publish()

    board._post(older)

    assert total(Board.open(tmp_path, process(1)).collect()) == 3


def test_a_scrape_works_where_nothing_can_be_written(tmp_path: Path) -> None:
    """A full or vanished disk costs the other processes' view, not one's own."""
    telemetry = process(0)
    shed(telemetry, 1)
    board = Board(tmp_path / "gone", telemetry)

    assert total(board.collect()) == 1


async def test_scrape_shows_the_same_as_collect(tmp_path: Path) -> None:
    """The form that does its work off the loop gives the same text."""
    telemetry = process(0)
    board = Board.open(tmp_path, telemetry)
    shed(telemetry, 4)

    assert await board.scrape() == board.collect()


async def test_run_posts_once_more_when_it_ends(tmp_path: Path) -> None:
    """What was counted between the last post and the end is not lost."""
    telemetry = process(0)
    begun = asyncio.Event()
    telemetry.on_collect(begun.set)
    running = asyncio.create_task(Board.open(tmp_path, telemetry).run(interval=3600))
    await begun.wait()
    shed(telemetry, 9)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running

    assert total(Board.open(tmp_path, process(1)).collect()) == 9
