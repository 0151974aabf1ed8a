# SPDX-License-Identifier: Apache-2.0
"""Generation: one value in one file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway.wire.generation import (
    Generation,
    Place,
    Setting,
    generation_file,
    read_generation,
    write_generation,
)


def place(model: str, number: int) -> Place:
    """A worker of *model*."""
    return Place(model, number, 0, "1", "file", "recipe")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Whole, and with nothing beside it."""
    generation = Generation(
        3, "config-3.yaml", (place("a", 1),), {"a-1": Setting(drained=True, weight=2.0)}
    )
    write_generation(tmp_path, generation)
    assert read_generation(tmp_path) == generation
    assert [path.name for path in tmp_path.iterdir()] == [generation_file(tmp_path).name]


def test_what_is_no_generation_is_refused(tmp_path: Path) -> None:
    """And a missing one."""
    with pytest.raises(FileNotFoundError):
        read_generation(tmp_path)
    generation_file(tmp_path).write_bytes(b"\x93\x01\x02\x03")
    with pytest.raises(msgspec.DecodeError):
        read_generation(tmp_path)


def test_workers_are_told_by_model_in_the_order_of_their_numbers() -> None:
    """Whatever the order in which they came."""
    generation = Generation(1, "", (place("a", 2), place("b", 0), place("a", 0)))
    assert [each.name for each in generation.of("a")] == ["a-0", "a-2"]
    assert generation.names() == {"a-0", "a-2", "b-0"}


def test_settings_are_those_of_operators_or_none() -> None:
    """One that is kept goes with its endpoint."""
    said = Setting(drained=True)
    generation = Generation(1, "", settings={"a-0": said, "a-1": Setting(weight=3.0)})
    assert generation.setting("a-0") == said
    assert generation.setting("b-0") == Setting()
    assert generation.kept(["a-0", "b-0"]) == {"a-0": said}
