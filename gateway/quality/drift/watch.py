# SPDX-License-Identifier: Apache-2.0
"""Watch: the rows of one model as they come, beside its reference, in windows of an hour and a day.

Without a file the first rows are the reference.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from gateway.quality.drift.counts import Counts
from gateway.quality.drift.features import Features
from gateway.quality.drift.judge import judge
from gateway.quality.drift.reference import Reference
from gateway.statistics.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.quality.drift.judge import Verdict
    from gateway.wire.samples import Observed

# Window by name, in seconds.
WINDOWS: Final = {"1h": 3600.0, "24h": 86400.0}
_EDITION: Final = 1


class Watch:
    """Follows *model*; *reference* None learns from the first *learn_rows* rows.

    *wanted* names the features that are looked at, None for the first ones. *floor* and *alpha* are
    those of `judge`.
    """

    def __init__(
        self,
        model: str,
        *,
        reference: Reference | None = None,
        learn_rows: int = 10_000,
        wanted: Collection[str] | None = None,
        floor: float = 0.1,
        alpha: float = 0.05,
    ) -> None:
        self.model = model
        self.reference: Reference | None = None
        # Rows that came, and those of them that were looked at.
        self.seen = self.looked_at = 0
        self.learned = reference is None
        self._learn_rows = learn_rows
        self._wanted = wanted
        self._floor = floor
        self._alpha = alpha
        self._early: list[Features] = []
        self._windows: Windows[Counts] = Windows(partial(Counts, 0, 0))
        if reference is not None:
            self._begin(reference)

    def __repr__(self) -> str:
        return f"<Watch {self.model} {self.reference or self.learning!r}>"

    @property
    def learning(self) -> tuple[int, int] | None:
        """How many rows of how many are learned from; None once there is a reference."""
        if self.reference is not None:
            return None
        return sum(each.rows for each in self._early), self._learn_rows

    def _begin(self, reference: Reference) -> None:
        self.reference = reference
        self._windows = Windows(partial(Counts, len(reference.features), reference.width))

    def take(self, observed: Observed, *, now: float) -> None:
        """Count what a gateway process has *observed*."""
        self.seen += observed.seen
        self.looked_at += len(observed)
        found = features_in(observed)
        if self.reference is None:
            self._learn(found, now)
            return
        if not found.rows:
            return
        confidence = found.confidence
        if confidence is None:
            confidence = np.full(found.rows, np.nan, np.float32)
        times = np.full(found.rows, observed.at)
        self._windows.add(times, self.reference.places(found), confidence, now=now)

    def _learn(self, found: Features, now: float) -> None:
        self._early.append(found)
        if sum(each.rows for each in self._early) < self._learn_rows:
            return
        early, self._early = self._early, []
        whole = joined(early)
        self._begin(
            Reference.fit(
                self.model,
                whole,
                source=f"the first {whole.rows} rows",
                made=now,
                wanted=self._wanted,
            )
        )

    def verdict(self, window: str, *, now: float) -> Verdict | None:
        """On the *window*, a key of `WINDOWS`; None while the reference is being learned."""
        if self.reference is None:
            return None
        found = self._windows.window(WINDOWS[window], now)
        return judge(
            self.reference,
            found.state,
            window=window,
            since=found.since,
            until=found.until,
            floor=self._floor,
            alpha=self._alpha,
        )

    def pack(self) -> bytes:
        """All that must outlive the process; b"" while there is nothing."""
        if self.reference is None:
            return b""
        plain = {
            "edition": _EDITION,
            "reference": self.reference.json(),
            "windows": self._windows.pack(),
            "seen": [self.seen, self.looked_at],
        }
        return msgspec.msgpack.encode(plain)

    def restore(self, packed: bytes) -> bool:
        """Go on from what `pack` gave; False where that is of another reference or form.

        A reference that was learned is taken over, one from a file must be the same.
        """
        try:
            plain: dict[str, Any] = msgspec.msgpack.decode(packed)
            if plain["edition"] != _EDITION:
                return False
            reference = Reference.read(plain["reference"])
            if not self.learned and (
                self.reference is None or self.reference.json() != plain["reference"]
            ):
                return False
            names = {each.name for each in reference.features}
            if self.learned and self._wanted is not None and not names <= set(self._wanted):
                return False
            if self.reference is None:
                self._begin(reference)
                self._early = []
            make = partial(Counts, len(reference.features), reference.width)
            self._windows = Windows.unpack(plain["windows"], make, Counts.unpack)
            self.seen, self.looked_at = plain["seen"]
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            return False
        return True


def features_in(observed: Observed) -> Features:
    """The columns of a message."""
    return Features(
        len(observed),
        {name: observed.numbers[:, column] for column, name in enumerate(observed.number_names)},
        dict(zip(observed.text_names, observed.texts, strict=True)),
        observed.confidence,
    )


def joined(parts: list[Features]) -> Features:
    """The rows of all *parts*; columns that some of them do not have are left out."""
    names = set.intersection(*(set(each.numbers) for each in parts))
    texts = set.intersection(*(set(each.texts) for each in parts))
    confidence = None
    known = [each.confidence for each in parts if each.confidence is not None]
    if len(known) == len(parts):
        confidence = np.concatenate(known)
    first = parts[0]
    return Features(
        sum(each.rows for each in parts),
        {
            name: np.concatenate([each.numbers[name] for each in parts])
            for name in first.numbers
            if name in names
        },
        {
            name: [text for each in parts for text in each.texts[name]]
            for name in first.texts
            if name in texts
        },
        confidence,
    )
