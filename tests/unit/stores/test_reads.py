# SPDX-License-Identifier: Apache-2.0
"""Reads: what leaves together, and who gets what."""

from __future__ import annotations

import asyncio

import hiredis
import pytest

from gateway.stores.line import Replies
from gateway.stores.reads import Reads
from tests.support.channels import ScriptedChannel
from tests.support.upstream import settle


async def ask(reads: Reads, *keys: bytes) -> object:
    """What `read` says, out of its tuple."""
    return (await reads.read(keys))[0]


async def test_look_ups_of_one_turn_are_one_call() -> None:
    """Each gets its own keys' share, in order."""
    channel = ScriptedChannel()
    reads = Reads(channel)
    asked = [asyncio.ensure_future(ask(reads, *keys)) for keys in ((b"a",), (b"b", b"c"), ())]
    await settle()
    assert len(channel.calls) == 1

    assert channel.answer([[b"A", None, b"C"]]) == [("MGET", b"a", b"b", b"c")]

    assert await asyncio.gather(*asked) == [[b"A"], [None, b"C"], []]


async def test_many_keys_are_several_commands_of_one_call() -> None:
    """A server does nothing else while it answers one command."""
    channel = ScriptedChannel()
    channel.server = lambda command: list(command[1:])
    keys = [b"%d" % number for number in range(1000)]

    assert await ask(Reads(channel), *keys) == keys


@pytest.mark.parametrize("replies", [None, [hiredis.ReplyError("LOADING")], [[b"A", b"B"]], [b"A"]])
async def test_what_is_no_answer_is_nothing(replies: Replies) -> None:
    """Refused, lost, or of another length: nobody gets what is another's."""
    channel = ScriptedChannel()
    asked = asyncio.ensure_future(ask(Reads(channel), b"a"))
    await settle()
    channel.answer(replies)

    assert await asked is None


async def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    """A client went away while it was looked up."""
    channel = ScriptedChannel()
    reads = Reads(channel)
    gone, stays = (asyncio.ensure_future(ask(reads, key)) for key in (b"a", b"b"))
    await settle()
    gone.cancel()
    await settle()
    channel.answer([[b"A", b"B"]])

    assert await stays == [b"B"]
    assert gone.cancelled()
