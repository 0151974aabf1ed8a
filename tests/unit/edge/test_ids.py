# SPDX-License-Identifier: Apache-2.0
"""Identifiers."""

from __future__ import annotations

import os
import time
import uuid

import pytest

from gateway.edge.ids import fits, new_id, request_id


def test_an_id_is_a_uuid_of_version_7() -> None:
    """Version, variant and the milliseconds of now."""
    before = time.time_ns() // 1_000_000
    ids = [uuid.UUID(new_id()) for _ in range(1000)]
    after = time.time_ns() // 1_000_000

    assert {id_.version for id_ in ids} == {7}
    assert {id_.variant for id_ in ids} == {uuid.RFC_4122}
    assert all(before <= id_.int >> 80 <= after for id_ in ids)


def test_an_id_is_written_as_uuids_are() -> None:
    """Lower case, with dashes in their places."""
    id_ = new_id()
    assert str(uuid.UUID(id_)) == id_


def test_ids_do_not_repeat() -> None:
    """However many are made in one millisecond."""
    ids = [new_id() for _ in range(20_000)]
    assert len(set(ids)) == len(ids)


def test_a_forked_process_makes_ids_of_its_own() -> None:
    """It must not go on with the parent's random numbers."""
    new_id()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, "".join(new_id()[15:] for _ in range(100)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        theirs = stream.read()
    os.waitpid(child, 0)

    assert len(theirs) == 2100
    assert not any(new_id()[15:] in theirs for _ in range(100))


@pytest.mark.parametrize("offered", ["a", "A-z_0.9:/+=@", "x" * 128])
def test_a_fitting_id_is_kept(offered: str) -> None:
    """A caller finds its request by it."""
    assert request_id(offered) is offered


@pytest.mark.parametrize(
    "offered", [None, "", "a b", "a\r\nX: y", "a\n", "ä", "a,b", 'a"', "a%41", "\0", "x" * 129]
)
def test_any_other_id_is_replaced(offered: str | None) -> None:
    """What could end a header, or fill a log, never gets in."""
    made = request_id(offered)
    assert made != offered
    assert fits(made)
