# SPDX-License-Identifier: Apache-2.0
"""Joined: predictions that have met their labels, as columns; and who wants to hear of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.wire.samples import Column, Role, Samples


@dataclass(slots=True, eq=False, kw_only=True)
class Joined:
    """*n* rows of one model file in one role that a label was found for, or taken from.

    The columns that `gateway.wire.samples.Samples` has mean the same here. *true* [n] is the label
    as *predicted* is: a class's place, `NO_CLASS` for one that is not configured; a value; or bits.
    *sign* [n] int8 is 1 for a row that is new and -1 for one that no longer counts: a corrected
    label is both, the old one first. *weight* [n] float64 is the label's own; what the row stands
    for in the traffic is 1 / pi. *labelled* [n] float64 are seconds since the epoch at which the
    label came. *source* [n] uint16 are places in *sources*, who gave the label. *key* [n] int64 is
    unique to a prediction and its source, and the same for the row and its correction.
    """

    model: str
    name: str
    digest: str
    role: Role
    key: Column
    times: Column
    labelled: Column
    endpoints: list[str]
    endpoint: Column
    slices: list[dict[str, str]]
    slice: Column
    flags: Column
    pi: Column
    question: Column
    predicted: Column
    true: Column
    weight: Column
    sign: Column
    sources: list[str]
    source: Column
    scores: Column | None = None
    columns: Column | None = None
    live: Column | None = None
    live_digest: str = ""

    def __len__(self) -> int:
        return len(self.key)


class Listener(Protocol):
    """A part of the control process that follows predictions and labels, on its event loop."""

    def predicted(self, samples: Samples) -> None:
        """These predictions were made; each comes once, before any label of it."""
        ...

    def joined(self, rows: Joined) -> None:
        """These rows have a label now, or have lost one."""
        ...
