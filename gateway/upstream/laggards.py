# SPDX-License-Identifier: Apache-2.0
"""Laggards: which endpoint alone is slow, told by the deadlines that pass there.

Requests that are given up at their deadline leave no duration behind, so a policy never learns how
slow such an endpoint is, and by its load it looks idle most of the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.upstream.endpoint import Endpoint

# Attempts after which the usual time of an endpoint is known.
_KNOWN: Final = 30
# How many times longer than usual a slow one takes; as many as a probe may.
_MANY: Final = 4


class Laggards:
    """What the others had answered whenever an endpoint let a deadline pass."""

    def __init__(self) -> None:
        self._answers: dict[Endpoint, int] = {}

    def __repr__(self) -> str:
        return f"<Laggards, {len(self._answers)} noted>"

    def outpaced(self, endpoint: Endpoint, endpoints: Sequence[Endpoint], seconds: float) -> bool:
        """Whether *endpoint* alone is slow, that let a deadline pass after so many *seconds*.

        So it is where others among *endpoints* have answered since it last did, and half of them
        usually take less than a fourth of that time. Where all are slow none is at fault, and a
        client that has little time says nothing of the endpoint.
        """
        others = [
            each
            for each in endpoints
            if each is not endpoint and each.healthy and each.attempts >= _KNOWN
        ]
        if not others:
            return False
        answers = sum([each.ejection.successes for each in others])
        before = self._answers.get(endpoint)
        self._answers[endpoint] = answers
        usual = sorted([each.typical for each in others])[len(others) // 2]
        return before is not None and before != answers and seconds > _MANY * usual

    def forget(self, endpoint: Endpoint) -> None:
        """*endpoint* is gone."""
        self._answers.pop(endpoint, None)
