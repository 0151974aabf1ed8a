# SPDX-License-Identifier: Apache-2.0
"""Blocks: what is packed comes back, in little room."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.ids import new_id
from gateway.quality.block import columns, kind, pack, part, together, unpack
from gateway.wire.samples import Samples
from tests.support.ledgers import made


def same(one: Samples, other: Samples) -> bool:
    """Whether two are equal in every field, the types of columns among them."""
    for each in fields(Samples):
        mine, theirs = getattr(one, each.name), getattr(other, each.name)
        if isinstance(mine, np.ndarray):
            if mine.dtype != theirs.dtype or not np.array_equal(mine, theirs):
                return False
        elif each.name == "ids":
            if list(mine) != list(theirs):
                return False
        elif mine != theirs:
            return False
    return True


@st.composite
def samples(draw: st.DrawFn, count: int | None = None) -> Samples:
    """Predictions with any values in their columns."""
    n = draw(st.integers(1, 12)) if count is None else count
    kind_ = draw(st.sampled_from([np.int32, np.float64, np.uint64]))
    values = {
        np.int32: st.integers(-1, 2**31 - 1),
        np.float64: st.floats(allow_nan=False),
        np.uint64: st.integers(0, 2**64 - 1),
    }[kind_]
    few = st.one_of(st.just([draw(values)] * n), st.lists(values, min_size=n, max_size=n))
    extra: dict[str, Any] = {}
    if draw(st.booleans()):
        extra["scores"] = np.array(
            draw(
                st.lists(
                    st.lists(st.integers(0, 65535), min_size=3, max_size=3), min_size=n, max_size=n
                )
            ),
            np.uint16,
        ).reshape(n, 3)
    if draw(st.booleans()):
        extra["live"] = np.array(draw(few), kind_)
        extra["live_digest"] = "l"
    ids = draw(st.sampled_from([[new_id() for _ in range(n)], [f"é{each}" for each in range(n)]]))
    rows = draw(st.lists(st.integers(0, 2**32 - 1), min_size=n, max_size=n))
    return made(
        ids, draw(few), dtype=kind_, rows=rows, tenant=draw(st.sampled_from(["", "t"])), **extra
    )


@given(samples())
def test_what_is_packed_comes_back(given_: Samples) -> None:
    """With its types; one value for all rows, and small numbers, are not told apart from others."""
    assert same(unpack(pack(given_)), given_)


@given(st.data())
def test_parts_are_put_together_again(data: st.DataObject) -> None:
    """In order, whatever lists their rows have places in."""
    whole = data.draw(samples(8))
    first, second = part(whole, slice(0, 3)), part(whole, slice(3, 8))
    # The second one has more tenants, in another order.
    second.tenants = ["other", *second.tenants]
    second.tenant = second.tenant + np.uint16(1)
    again = together([first, second])
    names = [again.tenants[each] for each in again.tenant]
    assert names == [whole.tenants[each] for each in whole.tenant]
    again.tenants, again.tenant = whole.tenants, whole.tenant
    assert same(again, whole)


def test_rows_are_picked_across_blocks() -> None:
    """Some of each, in the order that is asked for."""
    one, two = made(["a", "b", "c"], [1, 2, 3]), made(["d", "e"], [4, 5])
    found = columns([one, two], [np.array([2, 0]), np.array([1])])
    assert found["predicted"].tolist() == [3, 1, 5]
    assert found["endpoints"] == ["m-0"]


def test_only_like_goes_with_like() -> None:
    """Another model file, role or number of scores is another block."""
    plain = made(["a"], [1])
    others = [
        made(["a"], [1], digest="d2"),
        made(["a"], [1], role="shadow"),
        made(["a"], [1.0], dtype=np.float64),
        made(["a"], [1], scores=np.zeros((1, 2), np.uint16)),
        made(["a"], [1], live=np.zeros(1, np.int32)),
    ]
    kinds = {kind(each) for each in (plain, *others)}
    assert len(kinds) == 1 + len(others)


def test_a_prediction_takes_little_room() -> None:
    """16 bytes of id, 8 of time, the class; columns that are the same in all rows take none."""
    count = 512
    rows = made([new_id() for _ in range(count)], [each % 10 for each in range(count)])
    rows.times = np.linspace(1e9, 1e9 + 1, count)
    rows.question = np.zeros(count, np.uint64)
    assert len(pack(rows)) < 28 * count


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90", pack(made(["a"], [1]))[:-3]])
def test_what_is_no_block_is_refused(data: bytes) -> None:
    """With one kind of error."""
    with pytest.raises(ValueError, match="not a block"):
        unpack(data)
