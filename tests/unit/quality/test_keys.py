# SPDX-License-Identifier: Apache-2.0
"""Keys of ids, and ids as bytes."""

from __future__ import annotations

import time
import uuid

from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.ids import new_id
from gateway.quality.keys import Ids, dense, key_of, keys_of, place_of, places_of, time_of

UUIDS = st.builds(lambda number: str(uuid.UUID(int=number)), st.integers(0, 2**128 - 1))


@given(st.lists(st.one_of(UUIDS, st.builds(new_id), st.text(max_size=40)), max_size=20))
def test_keys_of_many_are_those_of_each(ids: list[str]) -> None:
    """Whatever stands beside them, and in whatever form: they are looked up one by one."""
    expected = [key_of(each) for each in ids]
    assert keys_of(ids).tolist() == expected
    assert keys_of(dense(ids)).tolist() == expected
    assert all(0 <= key < 2**63 for key in expected)


@given(st.lists(UUIDS, min_size=1, max_size=20))
def test_uuids_as_bytes_read_the_same(ids: list[str]) -> None:
    """As a list, one by one, and in parts."""
    held = dense(ids)
    assert isinstance(held, Ids)
    assert list(held) == ids
    assert held[-1] == ids[-1]
    assert list(held[1:3]) == ids[1:3]


def test_what_is_no_uuid_in_lower_case_stays_as_it_is() -> None:
    """It could not be given back as it came."""
    for other in ("x", str(uuid.uuid4()).upper(), str(uuid.uuid4())[:-1] + "g"):
        ids = [new_id(), other]
        assert dense(ids) is ids


def test_ids_made_together_lie_together() -> None:
    """In the order of their milliseconds, so that an index grows at its end."""
    early = [f"01890000-0000-7{each:03x}-8000-000000000000" for each in range(8)]
    late = [f"01890000-0001-7{each:03x}-8000-000000000000" for each in range(8)]
    assert max(keys_of(early)) < min(keys_of(late))


def test_an_id_says_when_it_was_made() -> None:
    """Only a UUIDv7 does."""
    made = time_of(new_id())
    assert made is not None
    assert abs(made - time.time()) < 60
    assert time_of(str(uuid.uuid4())) is None
    assert time_of("order-17") is None


@given(
    st.one_of(st.builds(new_id), st.text(max_size=20)),
    st.integers(1, 10_000),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
)
def test_what_is_in_a_block_is_looked_for_there(
    id_: str, first: int, more: int, further: int
) -> None:
    """Whatever blocks there are before and behind it."""
    key, block = key_of(id_), first + more
    places = places_of(key, first, block + further)
    assert place_of(key, block) in places
    assert len(places) == len(set(places))
    assert all(0 <= place < 2**63 for place in places)
    # A UUIDv7 has one place, and never one of a hash.
    assert (len(places) == 1 and places[0] < 2**62) or key >= 2**62


def test_hashes_are_written_close_together() -> None:
    """Those of one bucket lie behind all of the bucket before."""
    keys = [key_of(str(each)) for each in range(1000)]
    before, behind = ([place_of(key, block) for key in keys] for block in (511, 512))
    assert max(before) < min(behind)
