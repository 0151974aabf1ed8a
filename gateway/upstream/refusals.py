# SPDX-License-Identifier: Apache-2.0
"""Refusals: what the statuses of v2 servers mean, as errors of ours.

Products differ in the status for one and the same thing, so that more than the status is looked at:
the code that another Infergate sends, and ``Retry-After``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from gateway.errors import (
    AttemptTimeout,
    BadAnswer,
    Busy,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    GatewayError,
    InvalidRequest,
    PoisonInput,
    TooLarge,
    Unsupported,
    UpstreamError,
)
from gateway.wire.oip_reply import failure_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.upstream.caller import Answered

# A server that asks to be spared for longer is asked again all the same.
MOST_RETRY_AFTER: Final = 30.0
_LEAST_RETRY_AFTER: Final = 0.05


class NotReady(ConnectFailed):
    """The server answers, and does not have the model: nothing was computed."""


# What another Infergate says of itself is exact, whatever the status.
_CODES: Final[dict[str, type[GatewayError]]] = {
    "invalid_request": InvalidRequest,
    "too_large": TooLarge,
    "unsupported": Unsupported,
    "deadline_exceeded": DeadlineExceeded,
    "overloaded": Busy,
    "no_ready_endpoint": NotReady,
    "draining": NotReady,
    "model_not_found": NotReady,
}
_STATUSES: Final[dict[int, type[GatewayError]]] = {
    400: InvalidRequest,
    404: NotReady,
    413: TooLarge,
    415: InvalidRequest,
    422: InvalidRequest,
    429: Busy,
    501: Unsupported,
    504: AttemptTimeout,
}


def is_good(status: int) -> bool:
    """Whether *status* is a success, whatever the body: servers send an empty one, or JSON."""
    return 200 <= status < 300


def refusal(
    answered: Answered, where: str, *, merged: bool, now: Callable[[], datetime] | None = None
) -> GatewayError:
    """The error that *answered*, which is no success, stands for; *where* names the server.

    *merged*: it answers several clients' requests at once. *now* is wall-clock time, for a
    ``Retry-After`` that is a date.
    """
    status, headers, body = answered
    text = f"{where} answered {status}: {failure_text(body) or 'nothing more'}"
    wait = retry_after(headers, now=now)
    code = headers.get("Infergate-Error", "")
    if code == "poison_input":
        # One of many may be at fault: alone each gets its own verdict.
        return ConnectionLost(text) if merged else PoisonInput(text)
    kind = _CODES.get(code) or _STATUSES.get(status)
    if status == 503 and kind is None and wait is not None:
        kind = Busy
    if 300 <= status < 400:
        return BadAnswer(f"{where} answered {status}, a redirect, which is not followed")
    if kind is Busy:
        return Busy(text, retry_after=wait)
    return (kind or UpstreamError)(text)


def retry_after(
    headers: Mapping[str, str], *, now: Callable[[], datetime] | None = None
) -> float | None:
    """Seconds for which a server wants to be spared, within bounds; None where it says nothing."""
    told = headers.get("Retry-After", "").strip()
    if not told:
        return None
    if told.isascii() and told.isdigit():
        # More digits than a day has seconds mean the same.
        seconds = float(told[:9])
    else:
        try:
            until = parsedate_to_datetime(told)
        except ValueError:
            return None
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        seconds = (until - (now or _now)()).total_seconds()
    return min(max(seconds, _LEAST_RETRY_AFTER), MOST_RETRY_AFTER)


def _now() -> datetime:
    return datetime.now(UTC)
