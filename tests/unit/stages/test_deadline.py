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
