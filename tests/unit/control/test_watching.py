# SPDX-License-Identifier: Apache-2.0
"""Watching: a change counts when it stands still, and once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from gateway.config import Config
from gateway.config.load import load
from gateway.config.placement import placed
from gateway.control.operations import Operations
from gateway.control.watching import Sight, Standstill, in_effect, look, watch
from gateway.wire.generation import Generation


def sight(content: str) -> Sight:
    """What a look at *content* finds."""
    return content.encode(), frozenset()


def told(standstill: Standstill, *looks: str) -> list[bool]:
    """What each of *looks* leads to."""
    return [standstill.changed(sight(each)) for each in looks]


def test_a_change_counts_when_it_is_seen_twice() -> None:
    """And then never again."""
    assert told(Standstill(sight("a")), "a", "b", "b", "b") == [False, False, True, False]


def test_what_still_moves_is_waited_for() -> None:
    """A file that is being copied grows from look to look."""
    assert told(Standstill(sight("a")), "b", "bc", "bcd", "bcd") == [False, False, False, True]


def test_what_was_taken_back_is_no_change() -> None:
    """Whoever put it back before it stood still has changed nothing."""
    assert told(Standstill(sight("a")), "b", "a", "a") == [False, False, False]


def test_a_bad_state_is_acted_upon_once() -> None:
    """Its faults are in the log; the next change may mend them."""
    assert told(Standstill(sight("a")), "bad", "bad", "bad", "a", "a") == [
        False, True, False, False, True
    ]  # fmt: skip


class Place:
    """A configuration file and a model directory."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "config.yaml"
        self.model = directory / "m"
        self.add("1")
        self.write("")

    def add(self, version: str) -> None:
        """Another version of the model."""
        (self.model / version).mkdir(parents=True)
        (self.model / version / "model.onnx").write_bytes(b"x")

    def write(self, more: str) -> None:
        """Another file."""
        self.file.write_text(
            f"server: {{reload: {{watch: true}}}}\n"
            f"models: {{m: {{backends: [{{worker: {{path: {self.model}}}}}]{more}}}}}\n"
        )

    def config(self) -> Config:
        """What the file says."""
        return load(str(self.file))


def test_what_is_in_effect_looks_like_its_files(tmp_path: Path) -> None:
    """Until one of them is another; which one does not matter."""
    place = Place(tmp_path)
    config = place.config()
    copy = tmp_path / "copy.yaml"
    copy.write_bytes(place.file.read_bytes())
    known = in_effect(Generation(1, str(copy), placed(config)))
    assert look(str(place.file), config) == known
    place.add("2")
    assert look(str(place.file), config) != known
    known = in_effect(Generation(1, str(copy), placed(config)))
    assert look(str(place.file), config) == known
    place.write(", batch: {max_rows: 2}")
    assert look(str(place.file), config) != known
    place.file.unlink()
    assert look(str(place.file), config) != known


async def test_asks_for_a_reload_while_it_is_wanted(tmp_path: Path) -> None:
    """Looks come after each interval; with watching off there is none."""
    place = Place(tmp_path)
    copy = tmp_path / "copy.yaml"
    copy.write_bytes(place.file.read_bytes())
    asked: list[int] = []
    slept: list[float] = []
    operations: Any = SimpleNamespace(
        config=place.config(),
        source=str(place.file),
        generation=Generation(1, str(copy), placed(place.config())),
        ask_for_reload=lambda: asked.append(len(slept)),
    )

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            place.write(", batch: {max_rows: 2}")
        if len(slept) == 6:
            server = msgspec.structs.replace(
                operations.config.server,
                reload=msgspec.structs.replace(operations.config.server.reload, watch=False),
            )
            operations.config = msgspec.structs.replace(operations.config, server=server)
            place.write(", batch: {max_rows: 3}")
        if len(slept) == 10:
            raise asyncio.CancelledError
        await asyncio.sleep(0)

    task = asyncio.ensure_future(watch(cast("Operations", operations), sleep=sleep))
    await asyncio.gather(task, return_exceptions=True)
    assert set(slept) == {2.0}
    assert asked == [3]
