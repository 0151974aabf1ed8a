# SPDX-License-Identifier: Apache-2.0
"""Balance: an endpoint for each call."""

from __future__ import annotations

import pytest

from gateway.errors import InvalidRequest, NoReadyEndpoint, UpstreamError
from tests.support.upstream import Fleet, request, settle, values


async def test_sends_to_the_endpoint_that_the_pool_picks() -> None:
    """With one endpoint busy, the other gets the request."""
    fleet = Fleet(2, cap=8)
    first = fleet.ask(request(1, 2, 3), of=fleet.balance)
    await settle()
    second = fleet.ask(request(4), of=fleet.balance)
    await settle()
    assert [len(peer.sent) for peer in fleet.peers] == [1, 1]
    for sent in fleet.waiting:
        sent.respond()
    assert values(await first) == [1, 2, 3]
    assert values(await second) == [4]


@pytest.mark.parametrize("up", [True, False], ids=["full", "down"])
async def test_says_no_at_once_when_none_is_ready(up: bool) -> None:  # noqa: FBT001 - a parameter
    """Waiting is not its task: full or down, the answer is NoReadyEndpoint."""
    fleet = Fleet(1, up=up)
    if up:
        fleet.ask(of=fleet.balance)
        await settle()
    with pytest.raises(NoReadyEndpoint, match="model 'm'"):
        await fleet.balance(request())


async def test_notes_the_endpoint_that_failed() -> None:
    """The next attempt avoids it."""
    fleet = Fleet(1)
    asked = request()
    task = fleet.ask(asked, of=fleet.balance)
    await settle()
    fleet.waiting[0].fail(UpstreamError("failed"))
    with pytest.raises(UpstreamError):
        await task
    assert asked.avoid == ("e0",)


async def test_does_not_avoid_an_endpoint_that_refused_a_bad_request() -> None:
    """The endpoint did its work; the members of a batch may well go there again."""
    fleet = Fleet(1)
    asked = request()
    task = fleet.ask(asked, of=fleet.balance)
    await settle()
    fleet.waiting[0].fail(InvalidRequest("bad"))
    with pytest.raises(InvalidRequest):
        await task
    assert asked.avoid == ()
