# SPDX-License-Identifier: Apache-2.0
"""Events: what somebody outside should hear of, such as a decision or an alarm."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from gateway.quality.webhook_options import EventKind


@dataclass(frozen=True, slots=True)
class Event:
    """*sentence* says to a person what happened to *model*; *detail* is the evidence, as JSON has
    it. *name* tells events of one *kind* apart, such as ``promote`` and ``roll back``. *time* is
    seconds since the epoch.
    """

    kind: EventKind
    name: str
    model: str
    sentence: str
    time: float
    detail: dict[str, Any] = field(default_factory=dict)


# Takes an event and never blocks; called on the event loop of the control process.
Notify: TypeAlias = Callable[[Event], None]


def accuracy_event(name: str, model: str, detail: dict[str, Any]) -> Event:
    """An alarm of the live figures that has begun or ended; *detail* has a sentence."""
    return Event("accuracy", name, model, str(detail.get("sentence", "")), time.time(), detail)


def probe_event(told: dict[str, Any]) -> Event:
    """What probes have found, as they tell it."""
    detail = {name: value for name, value in told.items() if name not in {"model", "message"}}
    name, model, sentence = (str(told.get(key, "")) for key in ("outcome", "model", "message"))
    return Event("probe", name, model, sentence, time.time(), detail)


def drift_event(told: dict[str, Any]) -> Event:
    """Features that have begun to differ from their reference, as the watch for drift tells it."""
    detail = {name: value for name, value in told.items() if name not in {"model", "message"}}
    model, sentence = (str(told.get(key, "")) for key in ("model", "message"))
    return Event("drift", "alarm", model, sentence, time.time(), detail)
