# SPDX-License-Identifier: Apache-2.0
"""Gate: it tells when nobody is inside."""

from __future__ import annotations

import asyncio

from gateway.stages.gate import Gate
from tests.support.upstream import settle


async def test_nobody_waits_for_an_empty_one() -> None:
    """There is nothing to wait for."""
    await Gate().wait_empty()


async def test_all_who_wait_are_told_that_it_is_empty() -> None:
    """Any number may wait, and one may give up."""
    gate = Gate()
    gate.inside = 1
    waiters = [asyncio.ensure_future(gate.wait_empty()) for _ in range(3)]
    await settle()
    waiters[0].cancel()
    await settle()
    assert [waiter.done() for waiter in waiters] == [True, False, False]
    gate.inside = 0
    gate.emptied()
    await asyncio.gather(*waiters[1:])


async def test_who_comes_in_meanwhile_is_waited_for() -> None:
    """Empty is what it is when the waiter looks, not what it was when it was told."""
    gate = Gate()
    gate.inside = 1
    waiter = asyncio.ensure_future(gate.wait_empty())
    await settle()
    gate.emptied()
    await settle()
    assert not waiter.done()
    gate.inside = 0
    gate.emptied()
    await waiter
