# SPDX-License-Identifier: Apache-2.0
"""Freshness: which cached answers will do for whom, and for how long behind their time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import DeadlineExceeded, Shed, UpstreamError
from gateway.wire.message import NO_RULES

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.wire.message import CacheRules


# What the model is not to blame for, or can be mended: another answer, if there is one, will do.
NO_ANSWER: Final = (UpstreamError, Shed, DeadlineExceeded)


class Freshness:
    """Behind its time to live an answer is *stale* for a while, as RFC 5861 has it.

    It will do for *revalidate* seconds while a new one is made, and for *if_error* seconds where
    none can be made; *ready* says whether the model can be asked now. What is left of a time to
    live is less than nothing for a stale answer.
    """

    __slots__ = ("grace", "if_error", "ready", "revalidate")

    def __init__(
        self,
        *,
        revalidate: float = 0.0,
        if_error: float = 0.0,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self.revalidate = revalidate
        self.if_error = if_error
        self.ready = ready
        # How long an answer is kept behind its time to live.
        self.grace = max(revalidate, if_error)

    def __repr__(self) -> str:
        return f"<Freshness revalidate={self.revalidate:g} if_error={self.if_error:g}>"

    def will_do(self, rules: CacheRules, age: float, left: float) -> bool:
        """Whether an answer of this *age*, fresh for *left* seconds, may be given now."""
        if rules is not NO_RULES:
            # Whoever says what he takes gets no other.
            return rules.accepts(age, left)
        return left > 0 or -left < self.revalidate

    def in_need(self, rules: CacheRules, left: float) -> bool:
        """Whether an answer may be given because no other can be made."""
        return rules is NO_RULES and -left < self.if_error
