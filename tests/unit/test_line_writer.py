# SPDX-License-Identifier: Apache-2.0
"""Log lines go out in order and whole; a reader that is slow or gone costs lines, never time."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.line_writer import LineWriter


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe's reading and writing end."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def line(number: int) -> bytes:
    """A line of 10 bytes."""
    return b"%09d\n" % number


def test_lines_are_written_whole_and_in_order(tmp_path: Path) -> None:
    """What was put before `close` is in the file after it."""
    with (tmp_path / "log").open("wb") as file:
        writer = LineWriter(file.fileno(), line, capacity=10_000)
        for number in range(5000):
            writer.put(number)
        writer.close(patience=60)

    assert (tmp_path / "log").read_bytes() == b"".join(map(line, range(5000)))
    assert writer.dropped == 0


def test_a_line_larger_than_a_pipe_keeps_whole_is_written_all_the_same(tmp_path: Path) -> None:
    """Length costs a write of its own, not the end of the line."""
    long = b"x" * 100_000 + b"\n"
    with (tmp_path / "log").open("wb") as file:
        writer = LineWriter(file.fileno(), bytes)
        for entry in (b"a\n", long, b"b\n"):
            writer.put(entry)
        writer.close(patience=60)

    assert (tmp_path / "log").read_bytes() == b"a\n" + long + b"b\n"


def test_the_newest_line_is_dropped_when_the_queue_is_full(tmp_path: Path) -> None:
    """With the thread held up, only so many lines wait; the others are counted."""
    held, begun = threading.Event(), threading.Event()

    def slow(number: int) -> bytes:
        begun.set()
        held.wait()
        return line(number)

    with (tmp_path / "log").open("wb") as file:
        writer = LineWriter(file.fileno(), slow, capacity=3)
        writer.put(0)
        begun.wait()
        for number in range(1, 10):
            writer.put(number)
        assert writer.dropped == 6
        held.set()
        writer.close(patience=60)

    assert (tmp_path / "log").read_bytes() == b"".join(map(line, range(4)))


def test_lines_for_a_reader_that_is_gone_are_counted(pipe: tuple[int, int]) -> None:
    """A closed pipe neither raises nor ends the thread."""
    reading, writing = pipe
    broken = os.dup(writing)
    os.close(reading)
    writer = LineWriter(broken, line)
    for number in range(3):
        writer.put(number)
    writer.close(patience=60)
    os.close(broken)
    os.dup2(writing, reading)  # the fixture closes both

    assert writer.dropped == 3


def test_closing_does_not_wait_for_a_frozen_reader(pipe: tuple[int, int]) -> None:
    """A full pipe that nobody reads must not keep the process from ending."""
    _, writing = pipe
    writer = LineWriter(writing, bytes, capacity=2)
    block = b"x" * (1 << 20)
    for _ in range(5):
        writer.put(block)

    thread = writer._thread
    writer.close(patience=0.01)

    assert thread is not None
    assert thread.is_alive()
    assert writer.dropped >= 2


def test_a_writer_that_was_never_used_closes_at_once() -> None:
    """Without a line there is no thread to wait for."""
    threads = threading.active_count()
    writer = LineWriter(1, line)

    writer.close()

    assert threading.active_count() == threads
