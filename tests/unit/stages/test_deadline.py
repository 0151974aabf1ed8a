# SPDX-License-Identifier: Apache-2.0
"""Deadline sets the instant by which an exchange is answered, from its arrival on."""

from math import inf

import pytest

from gateway.errors import DeadlineExceeded, InvalidRequest
from gateway.exchange import Exchange
from gateway.stages.deadline import Deadline
from tests.support.exchanges import Scripted, make_exchange


def exchange_with(header: str | None = None) -> Exchange:
    """An exchange that arrived at 100 and asks for *header*."""
    headers = {} if header is None else {"x-request-timeout-ms": header}
    return make_exchange(arrived=100.0, headers=headers)


@pytest.mark.parametrize(
    ("total", "header", "deadline"),
    [
        (30.0, None, 130.0),
        (30.0, "1500", 101.5),
        (30.0, " 1500\t", 101.5),
        (30.0, "60000", 130.0),
        (0.0, "60000", 160.0),
        (0.0, None, inf),
    ],
    ids=["default", "shorter", "blanks", "longer is cut", "no limit of ours", "no limit at all"],
)
async def test_the_deadline_counts_from_the_arrival(
    total: float, header: str | None, deadline: float
) -> None:
    """A caller may ask for less than the configured total, not for more."""
    inner = Scripted()

    await Deadline(inner, total=total, clock=lambda: 100.01)(exchange_with(header))

    assert [exchange.deadline for exchange in inner.seen] == [deadline]


@pytest.mark.parametrize(
    "header",
    ["", "0", "-5", "1.5", "1e3", "abc", "NaN", "inf", "0x10", "1_000", "٣", "86400001", "9" * 400],
)
async def test_a_header_that_is_no_timeout_is_refused(header: str) -> None:
    """The message names the header, what it held, and what it may hold."""
    inner = Scripted()

    with pytest.raises(
        InvalidRequest, match=r"X-Request-Timeout-Ms: .* whole number of milliseconds from 1 to"
    ) as caught:
        await Deadline(inner, total=30.0)(exchange_with(header))

    assert len(caught.value.message) < 200
    assert inner.seen == []


async def test_time_that_is_up_already_is_not_worked_for() -> None:
    """A request that waited too long before the stages is refused at once."""
    inner = Scripted()

    with pytest.raises(DeadlineExceeded, match="timeout of 50 ms was over"):
        await Deadline(inner, total=30.0, clock=lambda: 100.05)(exchange_with("50"))

    assert inner.seen == []


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("250m", 0.25),
        ("2S", 2.0),
        ("1M", 60.0),
        ("1H", 100.0),
        ("500000u", 0.5),
        ("99999999n", 0.1),
    ],
)
async def test_a_caller_may_ask_as_grpc_does(asked: str, seconds: float) -> None:
    """Units as in gRPC over HTTP/2; never more than the total."""
    inner = Scripted()
    exchange = make_exchange(headers={"grpc-timeout": asked}, arrived=1000.0)
    await Deadline(inner, total=100.0, clock=lambda: 1000.0)(exchange)
    assert exchange.deadline == pytest.approx(1000.0 + seconds)


async def test_of_two_headers_the_shorter_counts() -> None:
    """A proxy on the way may have added the other."""
    headers = {"grpc-timeout": "2S", "x-request-timeout-ms": "1500"}
    exchange = make_exchange(headers=headers, arrived=1000.0)
    await Deadline(Scripted(), total=100.0, clock=lambda: 1000.0)(exchange)
    assert exchange.deadline == pytest.approx(1001.5)


@pytest.mark.parametrize(
    "asked", ["", "5", "S", "-1S", "0S", "123456789S", "1s", "1.5S", "\u0661S"]
)
async def test_what_grpc_would_not_say_is_refused(asked: str) -> None:
    """With a message that names the header and the form."""
    with pytest.raises(InvalidRequest, match="grpc-timeout"):
        await Deadline(Scripted(), total=100.0)(make_exchange(headers={"grpc-timeout": asked}))
