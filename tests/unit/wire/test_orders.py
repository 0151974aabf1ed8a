# SPDX-License-Identifier: Apache-2.0
"""Orders and replies on their way."""

from __future__ import annotations

import struct

import pytest

from gateway.wire.generation import Generation, Place, Setting
from gateway.wire.orders import (
    Abort,
    Commit,
    Inbox,
    Keep,
    Order,
    Prepare,
    Reply,
    Settle,
    Start,
    packed,
)

GENERATION = Generation(
    7, "config-7.yaml", (Place("a", 0, 0, "1", "f", "r"),), {"a-0": Setting(weight=0.5)}
)
ORDERS: list[Order] = [
    Start(1, GENERATION),
    Keep(2, ("a-0", "b-1")),
    Prepare(3, GENERATION),
    Commit(4, GENERATION),
    Abort(5),
    Settle(6),
]


def test_orders_arrive_as_they_were_sent() -> None:
    """Many in one piece."""
    assert Inbox().orders(b"".join(map(packed, ORDERS))) == ORDERS


def test_orders_arrive_byte_by_byte() -> None:
    """Each with its last byte, and not before."""
    inbox = Inbox()
    found: list[Order] = []
    for order in ORDERS:
        data = packed(order)
        for at in range(len(data)):
            assert len(found) == ORDERS.index(order)
            found += inbox.orders(data[at : at + 1])
    assert found == ORDERS


def test_replies_name_their_order_and_its_faults() -> None:
    """None where it was done."""
    sent = [Reply(2), Reply(1, ("a", "b"))]
    assert Inbox().replies(b"".join(map(packed, sent))) == sent


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<I", 4) + b"junk",
        packed(Reply(1)),
        struct.pack("<I", (64 << 20) + 1),
    ],
    ids=["no-msgpack", "no-order", "too-long"],
)
def test_what_is_no_order_is_refused(data: bytes) -> None:
    """As one kind of error, whatever is wrong with it."""
    with pytest.raises(ValueError, match=r".+"):
        Inbox().orders(data)
