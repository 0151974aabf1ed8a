# SPDX-License-Identifier: Apache-2.0
"""Answers as HTTP."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.respond import REASON, headers, plain_headers, render
from gateway.edge.routes import V2
from gateway.exchange import JSON, JSON_ALONE, Answer, Exchange
from gateway.wire.message import Trace


def exchange(**changes: Any) -> Exchange:
    """An exchange; *changes* go to it or to its trace."""
    asked = Exchange(
        V2, "m", "", target="/", headers={}, body=b"", request_id="req-1", inference_id="req-1"
    )
    for name, value in changes.items():
        setattr(asked.trace if hasattr(asked.trace, name) else asked, name, value)
    return asked


def parsed(raw: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status line, header fields and body of a response."""
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    return status, [tuple(line.split(": ", 1)) for line in lines], body  # type: ignore[misc]


def test_a_response_is_complete() -> None:
    """Status line, fields in their order, and the body behind its length."""
    asked = exchange(upstream=0.002, queue=0.0005, infer=0.0015, preprocess=0.00025, lookup=1e-6,
                     endpoint="m-0", digest="0123456789abcdef" * 4, cache="hit; ttl=3",
                     age=7.9)  # fmt: skip

    status, fields, body = parsed(render(asked, Answer(200, b"{}", [JSON])))

    assert status == "HTTP/1.1 200 OK"
    assert [name for name, _ in fields] == [
        "Content-Type", "X-Request-Id", "X-Inference-Id", "Cache-Status", "Age", "Server-Timing",
        "Infergate-Backend", "Infergate-Model-Digest", "Content-Length", "Date", "Server",
    ]  # fmt: skip
    values = dict(fields)
    assert values["X-Request-Id"] == values["X-Inference-Id"] == "req-1"
    assert values["Cache-Status"] == "infergate; hit; ttl=3"
    assert values["Age"] == "7"
    assert values["Server-Timing"].startswith(
        "queue;dur=0.500, preprocess;dur=0.250, cache;dur=0.001, infer;dur=1.500, total;dur="
    )
    assert values["Infergate-Model-Digest"] == "0123456789abcdef"
    assert values["Content-Length"] == "2"
    assert parsedate_to_datetime(values["Date"]).tzinfo is not None
    assert body == b"{}"


@pytest.mark.parametrize("merged", [False, True])
def test_postprocessing_is_told_beside_the_rest(*, merged: bool) -> None:
    """Before the total, also where the answer is of a merged request."""
    asked = exchange(upstream=0.002, queue=0.0005, infer=0.0015, preprocess=0.00025,
                     postprocess=0.0001, endpoint="m-0", digest="0" * 64)  # fmt: skip
    if merged:
        asked.trace.far = Trace(upstream=0.002, infer=0.0015, endpoint="m-0", digest="0" * 64)

    _, fields, _ = parsed(render(asked, Answer(200, b"{}", JSON_ALONE)))

    assert dict(fields)["Server-Timing"].startswith(
        "queue;dur=0.500, preprocess;dur=0.250, infer;dur=1.500, postprocess;dur=0.100, total;dur="
    )


def test_what_did_not_happen_is_not_told() -> None:
    """No backend, no cache and no queue in an answer that needed none."""
    _, fields, _ = parsed(render(exchange(), Answer(200, b"", [JSON])))

    assert [name for name, _ in fields] == [
        "Content-Type", "X-Request-Id", "X-Inference-Id", "Server-Timing", "Content-Length",
        "Date", "Server",
    ]  # fmt: skip
    assert dict(fields)["Server-Timing"].startswith("cache;dur=0.000, total;dur=")


def test_an_error_of_the_gateway_is_marked() -> None:
    """So that it can be told from one of a backend."""
    answer = Answer(503, b"", [JSON, ("Retry-After", "2")], error="overloaded")
    status, fields, _ = parsed(render(exchange(), answer, keep_alive=False))

    assert status == "HTTP/1.1 503 Service Unavailable"
    assert ("Infergate-Error", "overloaded") in fields
    assert ("Retry-After", "2") in fields
    assert fields[-1] == ("Connection", "close")


@pytest.mark.parametrize(
    "status", [200, 400, 404, 408, 413, 415, 429, 499, 500, 501, 502, 503, 504]
)
def test_every_status_has_a_reason(status: int) -> None:
    """499 included, which no standard knows."""
    line, _, _ = parsed(render(exchange(), Answer(status, b"", [JSON])))
    assert line == f"HTTP/1.1 {status} {REASON[status]}"


@pytest.mark.parametrize(
    ("id_", "value"),
    [
        ("abc-1", "abc-1"), ("a b", "a%20b"), ("ü\r\n", "%C3%BC%0D%0A"), ("50%", "50%25"),
        ("x" * 256, "x" * 256), ("x" * 257, None), ("ü" * 50, None), ("\ud800", "%3F"), ("", None),
    ],
)  # fmt: skip
def test_a_clients_id_is_escaped_where_a_header_needs_it(id_: str, value: str | None) -> None:
    """Reversibly, and left out where it is too long."""
    _, fields, _ = parsed(render(exchange(inference_id=id_), Answer(200, b"", [JSON])))
    assert dict(fields).get("X-Inference-Id") == value


@given(
    st.lists(st.tuples(st.text(max_size=6), st.text(max_size=10)), max_size=3),
    st.fixed_dictionaries(
        {
            name: st.text(max_size=20)
            for name in ("request_id", "inference_id", "cache", "endpoint", "digest")
        }
    ),
)
def test_no_value_can_end_its_line(own: list[tuple[str, str]], values: dict[str, str]) -> None:
    """Whoever set it, and whatever is in it."""
    asked = exchange(**values)
    answer = Answer(200, b"body", own)

    raw = render(asked, answer)

    head, separator, body = raw.partition(b"\r\n\r\n")
    assert separator
    assert body == b"body"
    assert head.isascii()
    assert len(head.split(b"\n")) == len(headers(asked, answer)) + 1
    assert all(line.rstrip(b"\r").decode().isprintable() for line in head.split(b"\n"))
    assert len(plain_headers(values["request_id"], answer)) == len(own) + 4


def test_both_ways_in_have_the_same_headers() -> None:
    """In the same order; only durations differ."""
    asked = exchange(cache="hit", endpoint="m-1", digest="ab")
    answer = Answer(200, b"{}", [JSON, ("Vary", "Accept-Encoding")])

    _, rendered, _ = parsed(render(asked, answer))
    paired = headers(asked, answer)

    assert [name for name, _ in rendered] == [name for name, _ in paired]
    for (name, one), (_, other) in zip(rendered, paired, strict=True):
        assert one == other or name in {"Server-Timing", "Date"}
