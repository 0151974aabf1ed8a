# SPDX-License-Identifier: Apache-2.0
"""Kept: what a store says of a value."""

from __future__ import annotations

from gateway.stores.store import Kept


def test_state_is_readable() -> None:
    """Age, remaining time and cost, in seconds."""
    kept = Kept(b"", age=1.5, ttl=60, cost=0.01)

    assert repr(kept) == "<Kept age=1.500 ttl=60.000 cost=0.010000>"
