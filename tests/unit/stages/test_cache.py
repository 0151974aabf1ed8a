# SPDX-License-Identifier: Apache-2.0
"""Cache: what is looked up, stored and merged, for whom, and what is said about it."""

from __future__ import annotations

import asyncio
from itertools import chain, repeat
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import BadAnswer, InvalidRequest
from gateway.wire.message import InferResponse, RequestedOutput
from gateway.wire.tensor import Tensor
from tests.support.caching import Kit, now, ruled
from tests.support.service import PromptService, ScriptedService
from tests.support.upstream import echo, request, settle, values

if TYPE_CHECKING:
    from gateway.wire.message import InferRequest


# Hits and misses.


def test_an_equal_question_gets_the_answer_that_is_there() -> None:
    """The model is asked once; ids and encodings do not matter."""
    inner = PromptService()
    kit = Kit(inner)
    first, second = request(1, 2), request(1, 2)
    second.id = "another"

    assert values(now(kit.cache, first)) == values(now(kit.cache, second)) == [1, 2]
    assert len(inner.asked) == 1
    assert (kit.counted("miss"), kit.counted("hit")) == (1, 1)


def test_a_hit_needs_no_event_loop() -> None:
    """It suspends nowhere and makes no task: it could not, there is no loop here."""
    kit = Kit(PromptService())
    now(kit.cache, request(1))

    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()
    assert values(now(kit.cache, request(1))) == [1]


def test_hits_share_one_response() -> None:
    """So a body that a codec leaves on it is encoded once for all."""
    kit = Kit(PromptService())
    first = now(kit.cache, request(1))
    assert first.encoded is not None
    first.encoded["form"] = b"body"

    assert now(kit.cache, request(1)).encoded == {"form": b"body"}


def test_another_question_is_another_miss() -> None:
    """Values, outputs and parameters are part of it."""
    inner = PromptService()
    kit = Kit(inner)
    for asked in (
        request(1),
        request(2),
        request(1, parameters={"p": 1}),
        request(1, outputs=(RequestedOutput("y"),)),
    ):
        now(kit.cache, asked)

    assert len(inner.asked) == 4


def test_a_key_that_is_known_is_not_made_again() -> None:
    """The key of a repeat comes with it; a new one is noted on the request."""
    inner = PromptService()
    kit = Kit(inner)
    first = request(1)
    now(kit.cache, first)
    assert first.key is not None
    second = request(999)
    second.key = first.key

    assert values(now(kit.cache, second)) == [1]


def test_a_new_model_file_answers_for_itself() -> None:
    """No flush is needed, and the way back is warm."""
    inner = PromptService()
    kit = Kit(inner)
    now(kit.cache, request(1))
    kit.digest = b"e"
    now(kit.cache, request(1))
    kit.digest = b"d"
    now(kit.cache, request(1))

    assert len(inner.asked) == 2


@pytest.mark.parametrize("header", ["", "no-cache", "max-age=0"])
def test_an_answer_of_another_model_file_is_not_stored(header: str) -> None:
    """While workers are replaced, one with the old file may answer a question to the new one."""
    inner = PromptService()
    kit = Kit(inner)
    now(kit.cache, request(1))
    kit.digest = b"e"

    def by_old(asked: InferRequest) -> InferResponse:
        asked.trace.digest = "old"
        return echo(asked)

    inner.respond = by_old
    stale = ruled(header, 1) if header else request(1)
    stale.trace.digest = "new"
    assert values(now(kit.cache, stale)) == [1]
    assert "stored" not in stale.trace.cache

    inner.respond = echo
    fresh = request(1)
    fresh.trace.digest = "new"
    now(kit.cache, fresh)
    assert fresh.trace.cache == "fwd=uri-miss; stored"


def test_one_output_then_all_are_both_complete() -> None:
    """An answer to less is no answer to more."""

    def respond(asked: InferRequest) -> InferResponse:
        names = [output.name for output in asked.outputs] or ["a", "b"]
        return InferResponse(tuple(Tensor(name, "UINT8", (1,), b"1") for name in names))

    kit = Kit(PromptService(respond))

    assert len(now(kit.cache, request(1, outputs=(RequestedOutput("b"),))).outputs) == 1
    assert len(now(kit.cache, request(1)).outputs) == 2


# Time.


def test_an_answer_ends_with_its_time() -> None:
    """After its time to live the model is asked again."""
    inner = PromptService()
    kit = Kit(inner)
    now(kit.cache, request(1))
    kit.clock.now += 59.5
    now(kit.cache, request(1))
    assert len(inner.asked) == 1

    kit.clock.now += 0.5
    now(kit.cache, request(1))
    assert len(inner.asked) == 2


def test_jitter_shortens_the_time_by_its_share_at_most() -> None:
    """What was stored together does not end together."""
    kit = Kit(PromptService(), jitter=0.2, rng=Random(1))
    for number in range(200):
        now(kit.cache, request(number))

    left = [entry.expires - kit.clock.now for entry in kit.store._entries.values()]
    assert len(left) == 200
    assert 48 <= min(left) < 49.5
    assert 58.5 < max(left) <= 60


# What is said.


def test_status_of_a_miss_and_a_hit() -> None:
    """RFC 9211's words, with what is left of the time to live; a hit has an age."""
    kit = Kit(PromptService())
    miss, hit = request(1), request(1)
    now(kit.cache, miss)
    kit.clock.now += 12.5
    now(kit.cache, hit)

    assert (miss.trace.cache, miss.trace.age) == ("fwd=uri-miss; stored", None)
    assert (hit.trace.cache, hit.trace.age) == ("hit; ttl=47", 12.5)


def test_time_of_the_look_up_is_noted() -> None:
    """The making of the key is part of it."""
    kit = Kit(PromptService())
    kit.cache._clock = chain([1000.0], repeat(1000.25)).__next__
    asked = request(1)
    now(kit.cache, asked)

    assert asked.trace.lookup == 0.25
    assert kit.telemetry.cache_seconds.cell("memory").sum == 0.25


def test_state_is_readable() -> None:
    """What an operator sees in a log or a debugger."""
    kit = Kit(PromptService())
    now(kit.cache, request(1))

    assert repr(kit.cache).startswith("<Cache m <Fills 0 running, 0 waiting> <Payoff in use")


# What is stored.


def test_an_error_is_not_stored() -> None:
    """The next one asks again."""
    outcomes: list[Any] = [BadAnswer("no"), None]

    def respond(asked: InferRequest) -> InferResponse:
        error = outcomes.pop(0)
        if error is not None:
            raise error
        return echo(asked)

    kit = Kit(PromptService(respond))
    with pytest.raises(BadAnswer):
        now(kit.cache, request(1))

    assert values(now(kit.cache, request(1))) == [1]


def test_an_answer_above_the_limit_is_not_stored() -> None:
    """One of them would evict many."""
    inner = PromptService()
    kit = Kit(inner, max_entry_bytes=16)
    fits, large = request(1, 2), request(1, 2, 3)
    now(kit.cache, fits)
    now(kit.cache, large)
    now(kit.cache, request(1, 2, 3))

    assert (len(inner.asked), len(kit.store)) == (3, 1)
    assert large.trace.cache == "fwd=uri-miss"


def test_an_entry_does_not_keep_a_whole_batch_alive() -> None:
    """Outputs are slices of a frame; what is stored owns its bytes."""
    frame = memoryview(bytearray(1 << 16))

    def respond(asked: InferRequest) -> InferResponse:
        return InferResponse((Tensor("y", "FP32", (1, 2), frame[:8]),), version="3")

    kit = Kit(PromptService(respond))
    now(kit.cache, request(1))
    hit = now(kit.cache, request(1))

    assert type(hit.outputs[0].data) is bytes
    assert (hit.outputs[0].nbytes, hit.version) == (8, "3")
    frame[:8] = b"changed!"
    assert bytes(hit.outputs[0].data) == bytes(8)


def test_encoded_bodies_are_counted() -> None:
    """What codecs leave on a response takes memory of the store's."""
    kit = Kit(PromptService())
    encoded = now(kit.cache, request(1)).encoded
    assert encoded is not None
    encoded["json"] = bytes(1000)
    now(kit.cache, request(1))
    one = kit.store.bytes
    encoded["binary"] = (bytes(500), [bytes(200), "text"])
    now(kit.cache, request(1))

    assert kit.store.bytes - one == 904
    now(kit.cache, request(1))
    assert kit.store.bytes - one == 904


def test_encoded_bodies_do_not_outgrow_their_entry() -> None:
    """Too much is let go, and made again when asked for."""
    kit = Kit(PromptService(), max_entry_bytes=1000)
    encoded = now(kit.cache, request(1)).encoded
    assert encoded is not None
    before = kit.store.bytes
    encoded["json"] = bytes(5000)

    now(kit.cache, request(1))

    assert encoded == {}
    assert kit.store.bytes <= before


def test_memory_stays_below_the_bound() -> None:
    """However many questions there are."""
    kit = Kit(PromptService(), max_bytes=20_000)
    for number in range(500):
        now(kit.cache, request(number))
        assert kit.store.bytes <= 20_000

    assert 10 < len(kit.store) < 40
    assert values(now(kit.cache, ruled("only-if-cached", 499))) == [499]


# Equal questions at the same time; `test_fill` has the rest.


async def test_a_hundred_equal_questions_are_one_inference() -> None:
    """All get its answer; those who waited are counted as collapsed."""
    inner = ScriptedService()
    kit = Kit(inner)
    asked = [request(5) for _ in range(100)]
    tasks = [asyncio.ensure_future(kit.cache(each)) for each in asked]
    await settle()
    (sent,) = inner.sent
    sent.respond()

    responses = await asyncio.gather(*tasks)

    assert [values(response) for response in responses] == [[5]] * 100
    assert [each.trace.cache for each in asked] == [
        "fwd=uri-miss; stored", *["fwd=uri-miss; collapsed"] * 99
    ]  # fmt: skip
    assert kit.telemetry.collapsed.cell("m").value == 99
    assert kit.counted("miss") == 100


async def test_a_wrong_question_is_wrong_for_all_who_ask_it() -> None:
    """Its refusal reaches them without asking again."""
    inner = ScriptedService()
    kit = Kit(inner)
    tasks = [asyncio.ensure_future(kit.cache(request(5))) for _ in range(10)]
    await settle()
    inner.sent[0].fail(InvalidRequest("no"))

    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(result) for result in results] == [InvalidRequest] * 10
    assert len(inner.sent) == 1
    assert len(kit.store) == 0
