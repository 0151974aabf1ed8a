# SPDX-License-Identifier: Apache-2.0
"""Samples travel as they are, and nothing else passes for them."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest

from gateway.wire.samples import LENGTH, Lost, Samples, decode, encode


def samples(count: int = 3, **columns: Any) -> Samples:
    """*count* predictions of two classes, or with other *columns*."""
    given: dict[str, Any] = {
        "model": "m",
        "name": "m",
        "digest": "d" * 32,
        "version": "1",
        "role": "live",
        "ids": [f"id-{place}" for place in range(count)],
        "rows": np.zeros(count, np.uint32),
        "times": np.arange(count, dtype=np.float64),
        "endpoints": ["m-0"],
        "endpoint": np.zeros(count, np.uint16),
        "tenants": [""],
        "tenant": np.zeros(count, np.uint16),
        "slices": [{}],
        "slice": np.zeros(count, np.uint16),
        "flags": np.zeros(count, np.uint8),
        "pi": np.ones(count, np.float32),
        "question": np.zeros(count, np.uint64),
        "predicted": np.arange(count, dtype=np.int32),
        "scores": np.full((count, 2), 100, np.uint16),
    }
    return Samples(**{**given, **columns})


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_they_come_back_as_they_were(count: int) -> None:
    """Every column with its type and shape."""
    sent = samples(count, labels=[None] * count, live=np.zeros(count, np.int32))
    message = encode(sent)
    assert LENGTH.unpack(message[:4]) == (len(message) - 4,)
    got = decode(message[4:])
    assert isinstance(got, Samples)
    for field in dataclasses.fields(Samples):
        before, after = getattr(sent, field.name), getattr(got, field.name)
        if isinstance(before, np.ndarray):
            assert before.dtype == after.dtype
            np.testing.assert_array_equal(before, after)
        else:
            assert before == after


def test_what_was_lost_comes_too() -> None:
    """By reason."""
    lost = Lost("m", {"full": 7})
    assert decode(encode(lost)[4:]) == lost


def test_columns_have_a_row_for_each_id() -> None:
    """Whoever made them otherwise hears which one is wrong."""
    with pytest.raises(ValueError, match="column rows has 2 rows, ids 3"):
        samples(3, rows=np.zeros(2, np.uint32))
    with pytest.raises(ValueError, match="2 labels for 3 rows"):
        samples(3, labels=[None, None])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode(("samples", {})),
        msgspec.msgpack.encode(("others", {"model": "m"})),
        msgspec.msgpack.encode(("lost", {"other": 1})),
        msgspec.msgpack.encode(("lost", 3)),
        msgspec.msgpack.encode([1, 2, 3]),
        encode(samples(3))[4:-2],
        encode(samples(3))[4:].replace(b"<u4", b"|O8"),
    ],
)
def test_nothing_else_passes(body: bytes) -> None:
    """It is named as not being a message."""
    with pytest.raises(ValueError, match="not a message of samples"):
        decode(body)
