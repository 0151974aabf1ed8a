# SPDX-License-Identifier: Apache-2.0
"""What statuses and headers of other servers mean."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.errors import Busy, UpstreamError
from gateway.upstream.caller import Answered
from gateway.upstream.refusals import NotReady, is_good, refusal, retry_after

NOON = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)


def answered(status: int, body: bytes = b"", **headers: str) -> Answered:
    """An answer; ``Retry_After`` is written with an underscore."""
    fields = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Answered(status, CIMultiDictProxy(fields), body)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("3", 3.0), (" 12 ", 12.0), ("0", 0.05), ("31", 30.0), ("9" * 40, 30.0),
        ("Wed, 01 May 2024 12:00:09 GMT", 9.0), ("Wed, 01 May 2024 12:00:09 -0000", 9.0),
        ("Wed, 01 May 2024 11:00:00 GMT", 0.05),
        ("", None), ("soon", None), ("-1", None), ("1.5", None), ("\u0663", None),
    ],
)  # fmt: skip
def test_the_time_to_wait_is_read_in_both_forms(told: str, seconds: float | None) -> None:
    """Within bounds, and not at all where it is neither."""
    assert retry_after({"Retry-After": told}, now=lambda: NOON) == seconds


def test_the_words_of_the_server_are_kept() -> None:
    """With its address, and its status."""
    error = refusal(answered(500, b'{"error":"out of memory"}'), "http://far", merged=False)
    assert type(error) is UpstreamError
    assert error.message == "http://far answered 500: out of memory"
    assert "nothing more" in refusal(answered(500), "http://far", merged=False).message


def test_the_code_of_another_gateway_counts_for_more_than_the_status() -> None:
    """It has nothing ready: that is not a fault of its own."""
    error = refusal(answered(503, Infergate_Error="no_ready_endpoint"), "http://far", merged=False)
    assert isinstance(error, NotReady)


def test_who_asks_to_be_spared_without_a_time_is_spared_for_a_second() -> None:
    """The default of the error."""
    error = refusal(answered(429), "http://far", merged=False)
    assert isinstance(error, Busy)
    assert error.retry_after == 1.0


def test_good_is_every_status_of_success() -> None:
    """And no other."""
    assert [status for status in (101, 199, 200, 204, 299, 300, 400, 503) if is_good(status)] == [
        200, 204, 299,
    ]  # fmt: skip
