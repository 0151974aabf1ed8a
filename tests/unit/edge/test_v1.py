# SPDX-License-Identifier: Apache-2.0
"""The v1 codec on exchanges."""

from __future__ import annotations

from gateway.edge.v1 import V1Codec
from gateway.errors import ModelNotFound
from gateway.exchange import Exchange
from gateway.wire.message import CacheRules
from tests.support.edge import model, sums


def exchange(body: bytes) -> Exchange:
    """An exchange with *body*."""
    return Exchange(
        V1Codec(), "m", "", target="/v1/models/m:predict", headers={}, body=body, request_id="r"
    )


def test_a_prediction_comes_back_in_the_format_of_the_question() -> None:
    """By row for rows, by column for columns."""
    for body, expected in (
        (b'{"instances":[[3,4]]}', b'{"predictions":[[7.0,-1.0,12.0]]}'),
        (b'{"inputs":[[3,4]]}', b'{"outputs":[[7.0,-1.0,12.0]]}'),
    ):
        asked, info = exchange(body), model()
        request = asked.codec.decode(asked, info)
        answer = asked.codec.encode(asked, request, sums(request), info)
        assert (answer.status, answer.body) == (200, expected)
        assert list(answer.headers) == [("Content-Type", "application/json")]


def test_a_request_takes_over_what_the_exchange_knows() -> None:
    """Deadline, trace and cache rules stay the same objects."""
    asked = exchange(b'{"instances":[[3,4]]}')
    asked.deadline = 60.0
    asked.rules = CacheRules(no_cache=True)

    request = asked.codec.decode(asked, model())

    assert (request.model, request.deadline) == ("m", 60.0)
    assert request.trace is asked.trace
    assert request.rules is asked.rules


def test_a_refusal_has_the_protocols_form() -> None:
    """The same as in v2."""
    asked = exchange(b"")
    answer = asked.codec.refuse(asked, ModelNotFound("none"))
    assert (answer.status, answer.body) == (404, b'{"error":"none"}')
