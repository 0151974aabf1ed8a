# SPDX-License-Identifier: Apache-2.0
"""Outstanding: one file, many processes; here all in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.upstream.outstanding import Column, Outstanding, create, forget


@pytest.fixture(name="path")
def fixture_path(tmp_path: Path) -> Path:
    """A file for three processes and four endpoints."""
    path = tmp_path / "outstanding"
    create(path, 3, columns=4)
    return path


def column(table: Outstanding, name: str) -> Column:
    """The column of *name*, which must be there."""
    found = table.column(name)
    assert found is not None
    return found


def test_each_sees_what_the_others_have(path: Path) -> None:
    """Requests and rows, without its own."""
    first, second, third = (column(Outstanding(path, index), "m\0e0") for index in range(3))
    first.set_requests(2)
    first.set_rows(20)
    second.set_requests(1)
    second.set_rows(5)
    assert first.elsewhere() == (1, 5)
    assert second.elsewhere() == (2, 20)
    assert third.elsewhere() == (3, 25)


def test_endpoints_are_apart(path: Path) -> None:
    """By name, whatever the order in which processes name them."""
    one, other = Outstanding(path, 0), Outstanding(path, 1)
    a, b = column(one, "a"), column(one, "b")
    b_there, a_there = column(other, "b"), column(other, "a")
    a.set_rows(3)
    assert (a_there.elsewhere(), b_there.elsewhere()) == ((0, 3), (0, 0))
    b.set_rows(4)
    assert b_there.elsewhere() == (0, 4)


def test_what_a_dead_process_had_vanishes(path: Path) -> None:
    """The supervisor needs no mapping for it."""
    dead, alive = column(Outstanding(path, 0), "a"), column(Outstanding(path, 1), "a")
    dead.set_requests(9)
    dead.set_rows(90)
    alive.set_rows(1)
    forget(path, 0)
    assert alive.elsewhere() == (0, 0)
    assert column(Outstanding(path, 2), "a").elsewhere() == (0, 1)


def test_a_process_that_starts_again_has_nothing_pending(path: Path) -> None:
    """Also if nobody has seen the end of its last life."""
    other = column(Outstanding(path, 1), "a")
    column(Outstanding(path, 0), "a").set_requests(9)
    assert other.elsewhere() == (9, 0)
    Outstanding(path, 0)
    assert other.elsewhere() == (0, 0)


def test_a_full_table_has_no_column_for_more(path: Path) -> None:
    """Then each process counts for itself."""
    table = Outstanding(path, 0)
    columns = [table.column(f"e{index}") for index in range(5)]
    assert [each is None for each in columns] == [False, False, False, False, True]


def test_a_column_that_nobody_has_is_given_to_another(path: Path) -> None:
    """Only when all have let go of it."""
    one, other = Outstanding(path, 0), Outstanding(path, 1)
    mine = [column(one, f"e{index}") for index in range(4)]
    theirs = column(other, "e2")
    mine[2].release()
    assert one.column("new") is None
    theirs.release()
    assert column(one, "new")._at == mine[2]._at
    forget(path, 0)
    assert column(other, "newer")._offset == mine[0]._offset


def test_a_column_stays_while_any_endpoint_of_a_process_has_it(path: Path) -> None:
    """In a reload two endpoints may stand for one worker, until the elder has finished."""
    table = Outstanding(path, 0)
    elder, younger = column(table, "e0"), column(table, "e0")
    seen = column(Outstanding(path, 1), "e0")
    younger.set_rows(3)
    elder.release()
    assert seen.elsewhere() == (0, 3)
    younger.release()
    assert seen.elsewhere() == (0, 0)


def test_no_descriptor_stays_open(path: Path) -> None:
    """The mapping does not need one."""
    before = sorted(Path("/proc/self/fd").iterdir())
    table = Outstanding(path, 0)
    found = column(table, "a")
    found.set_rows(1)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_the_file_takes_little_room(tmp_path: Path) -> None:
    """It is sparse, also after a process has died."""
    path = tmp_path / "outstanding"
    create(path, 64)
    table = Outstanding(path, 5)
    column(table, "a")
    forget(path, 5)
    assert path.stat().st_size > 6 << 20
    assert path.stat().st_blocks * 512 < 256 << 10


@pytest.mark.parametrize("damage", ["short", "longer", "other"])
def test_refuses_what_is_no_such_file(path: Path, damage: str) -> None:
    """A mapping that is too short would end the process with SIGBUS."""
    data = path.read_bytes()
    changed = {"short": data[:-8], "longer": data + b"x", "other": b"x" * len(data)}
    path.write_bytes(changed[damage])
    with pytest.raises(ValueError, match="does not hold outstanding counts"):
        Outstanding(path, 0)


def test_refuses_a_process_too_many(path: Path) -> None:
    """Its cells would be those of the next endpoint."""
    with pytest.raises(ValueError, match="has places for 3 processes, not for 3"):
        Outstanding(path, 3)
