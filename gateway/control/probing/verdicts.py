# SPDX-License-Identifier: Apache-2.0
"""Verdicts: which endpoints rounds have found wrong, and what follows from that."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.quality.probes.choice import ejectable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from gateway.quality.probes.report import Series


class Consequence(NamedTuple):
    """Endpoints to eject, to let back, and those that are wrong and cannot be done without."""

    eject: list[str]
    restore: list[str]
    spare: list[str]


class Verdicts:
    """What the sets of one model say of its endpoints.

    An endpoint that is out comes back after *rise* good rounds in a row of every set that asks it.
    """

    def __init__(self) -> None:
        # Good rounds in a row by set and endpoint; 0 where the last one was bad.
        self._good: dict[tuple[str, str], int] = {}

    def __repr__(self) -> str:
        return f"<Verdicts {self._good}>"

    def note(self, name: str, series: Iterable[Series]) -> None:
        """Count a round of the set *name*; who did not answer is neither good nor bad."""
        for each in series:
            if each.path == "direct" and each.change is not None:
                key = (name, each.endpoint)
                self._good[key] = 0 if each.wrong else self._good.get(key, 0) + 1

    def keep(self, names: Collection[str]) -> None:
        """Forget all sets but *names*."""
        self._good = {key: count for key, count in self._good.items() if key[0] in names}

    def forget(self) -> None:
        """Forget all."""
        self._good.clear()

    def consequence(
        self,
        *,
        able: Collection[str],
        there: Collection[str],
        out: Collection[str],
        most: float,
        rise: int,
    ) -> Consequence:
        """What is to be done, when *able* endpoints can answer and *out* are ejected already.

        *there* are those that have answered just now, whatever gateway processes see. *most* is
        the share that may be out at the same time.
        """
        least: dict[str, int] = {}
        for (_, endpoint), good in self._good.items():
            least[endpoint] = min(good, least.get(endpoint, good))
        wrong = [endpoint for endpoint, good in least.items() if not good]
        restore = [each for each in out if least.get(each, 0) >= rise]
        still = set(out) - set(restore)
        if still and not {*able, *there} - still:
            # Nobody else is left to answer: it is better than nothing, and better known than not.
            restore += sorted(still)
            still = set()
        # Where nobody is right, fewer of them would be no better.
        right = [each for each in able if each not in wrong and each not in still]
        eject = ejectable(
            [each for each in wrong if right and each in able and each not in restore],
            able=able, out=still, most=most,
        )  # fmt: skip
        spare = [each for each in wrong if each in able and each not in {*eject, *still}]
        return Consequence(eject, restore, spare)
