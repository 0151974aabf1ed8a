# SPDX-License-Identifier: Apache-2.0
"""SharedEndpoint: an endpoint whose load is that of all gateway processes."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from gateway.upstream.endpoint import Endpoint
from gateway.upstream.outlook import Seen

if TYPE_CHECKING:
    from gateway.upstream.outstanding import Column
    from gateway.upstream.policy import Loaded


class SharedEndpoint(Endpoint):
    """An `Endpoint` that tells the other *processes* what it has pending, and reads what they have.

    Its part of the cap, rounded up, is always this process's own; what the others leave of the
    rest may be borrowed. So the cap of one process is used up when the others are idle, and none
    ever waits for a slot of which no answer of its own would tell it.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - an Endpoint's own
        column: Column,
        processes: int,
        **options: Any,  # noqa: ANN401 - an Endpoint's own
    ) -> None:
        self._column = column
        self._processes = processes
        self._requests = self._rows = self._limit = self._share = 0
        super().__init__(*arguments, **options)
        self.elsewhere = column.elsewhere
        self._seen = Seen(self, self.weight)
        weakref.finalize(self, column.release)

    @property
    def pending(self) -> int:
        """The requests of this process that are not answered."""
        return self._requests

    @pending.setter
    def pending(self, count: int) -> None:
        self._requests = count
        self._column.set_requests(count)

    @property
    def pending_rows(self) -> int:
        """The rows of this process that are not answered."""
        return self._rows

    @pending_rows.setter
    def pending_rows(self, count: int) -> None:
        self._rows = count
        self._column.set_rows(count)

    @property
    def cap(self) -> int:
        """How many requests this process may have pending now."""
        return max(self._share, self._limit - self._column.elsewhere()[0])

    @cap.setter
    def cap(self, limit: int) -> None:
        self._limit = limit
        self._share = -(-limit // self._processes)

    def view(self) -> Loaded | None:
        """See `Endpoint.view`; good until the next call, as one object serves them all."""
        requests, rows = self._column.elsewhere()
        own = self._requests
        if own >= self._limit - requests and own >= self._share:
            return None
        seen = self._seen
        seen.pending = own + requests
        seen.pending_rows = self._rows + rows
        seen.weight = self.weight
        return seen
