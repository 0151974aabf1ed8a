# SPDX-License-Identifier: Apache-2.0
"""Hub: where predictions and labels come in, meet, and go out to whoever follows them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from gateway.wire.samples import Samples

if TYPE_CHECKING:
    from gateway.quality.joined import Joined, Listener
    from gateway.quality.ledger import Ledger
    from gateway.telemetry import Telemetry
    from gateway.wire.samples import Message

log: Final = logging.getLogger(__name__)


class Hub:
    """Gives what comes in to *ledger* and to its listeners, all on the event loop."""

    def __init__(self, ledger: Ledger, *, telemetry: Telemetry) -> None:
        self.ledger = ledger
        self._telemetry = telemetry
        self._listeners: list[Listener] = []

    def __repr__(self) -> str:
        return f"<Hub {self.ledger!r} listeners={self._listeners}>"

    def add(self, listener: Listener) -> None:
        """Let *listener* hear of all that comes in from now on."""
        self._listeners.append(listener)

    def take(self, message: Message) -> None:
        """Take what a gateway process has sent."""
        if isinstance(message, Samples):
            self.tell_predicted(message)

    def tell_predicted(self, samples: Samples) -> None:
        """Tell all listeners of *samples*; one that fails does not keep it from the others."""
        for listener in self._listeners:
            try:
                listener.predicted(samples)
            except Exception:  # a border: listeners are apart from each other
                log.exception("%r cannot follow predictions", listener)

    def tell_joined(self, rows: Joined) -> None:
        """Tell all listeners of *rows*; one that fails does not keep it from the others."""
        for listener in self._listeners:
            try:
                listener.joined(rows)
            except Exception:  # a border, as above
                log.exception("%r cannot follow labels", listener)
