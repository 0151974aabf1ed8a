# SPDX-License-Identifier: Apache-2.0
"""Choice: which of a pool's endpoints gets a request, and whether any has room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.upstream.outlook import Seen, panics, usable
from gateway.upstream.policy import Keyed
from gateway.upstream.sequences import Sequences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.upstream.endpoint import Endpoint
    from gateway.upstream.policy import Policy
    from gateway.wire.message import InferRequest


class Choice:
    """Filters *endpoints* by readiness and lets the policy pick among the rest.

    *max_ejected* is the share that may be ejected at the same time; at least one may, and the
    last one that is up never is. Below *panic_threshold*, the share that is available, ejections
    are ignored.
    """

    def __init__(self, policy: Policy, *, max_ejected: float, panic_threshold: float) -> None:
        self.endpoints: list[Endpoint] = []
        # Whether requests belong somewhere by their key, so that `place` is to be asked, and the
        # header that this is, "" for the question itself.
        self.keyed = isinstance(policy, Keyed)
        self.header = policy.header if isinstance(policy, Keyed) else ""
        self._policy = policy
        self._max_ejected = max_ejected
        self._panic_threshold = panic_threshold
        self._sequences = Sequences()
        self._tiered = False
        # Whether other gateway processes have a part in the loads.
        self._shared = False

    def look(self) -> None:
        """See what kind of endpoints there are; to be called when others come or go."""
        self._tiered = any(each.tier for each in self.endpoints)
        self._shared = any(each.elsewhere for each in self.endpoints)

    @property
    def ready(self) -> bool:
        """Whether any endpoint would take a request, now or once it has a free slot."""
        return any(endpoint.healthy for endpoint in self.endpoints) or bool(self._usable())

    @property
    def panicking(self) -> bool:
        """Whether ejections are ignored, because too few endpoints would be left."""
        return panics(self.endpoints, self._panic_threshold)

    def pick(self, avoid: Sequence[str] = (), key: bytes = b"") -> Endpoint | None:
        """A ready endpoint, or None; one of *avoid* only if nothing else is healthy."""
        if self._shared:
            return self._pick_of_many(avoid, key)
        ready = []
        out = others = False
        for endpoint in self.endpoints:
            if endpoint.healthy:
                if endpoint.name in avoid:
                    continue
                others = True
                if endpoint.pending < endpoint.cap:
                    ready.append(endpoint)
            else:
                out = True
        if self._tiered or (out and self.panicking):
            return self._pick_with_care(avoid, key)
        if not ready:
            if avoid and not others:
                # The one that failed is the only one left; a second try there beats none.
                return self.pick((), key)
            return None
        if len(ready) == 1:
            return ready[0]
        return ready[self._policy.pick(ready, key) if key else self._policy.pick(ready)]

    def place(self, request: InferRequest) -> Endpoint | None:
        """An endpoint for a *request* that may belong somewhere: to a sequence, or by its key."""
        parameters = request.parameters
        if parameters and "sequence_id" in parameters:
            usable_ = [endpoint for endpoint, _ in self._usable()]
            up = [each for each in self.endpoints if each.liveness.up and not each.draining]
            return self._sequences.pick(parameters, usable_, up)
        return self.pick(request.avoid, request.trace.affinity if self.keyed else b"")

    def capacity(self) -> tuple[int, int]:
        """Free slots over all healthy endpoints, and how many of these have any."""
        slots = free = 0
        out = False
        for endpoint in self.endpoints:
            left = endpoint.cap - endpoint.pending
            if left > 0:
                if endpoint.healthy:
                    slots += left
                    free += 1
                else:
                    out = True
        if self._tiered or (out and self.panicking):
            lefts = [endpoint.cap - endpoint.pending for endpoint, _ in self._usable()]
            return sum([left for left in lefts if left > 0]), sum([left > 0 for left in lefts])
        return slots, free

    def takes(self, avoid: Sequence[str]) -> bool:
        """Whether one that is not of *avoid* has room; any one, where all that are usable are."""
        able = [endpoint for endpoint, _ in self._usable()]
        others = [each for each in able if each.name not in avoid] or able
        return any(each.pending < each.cap for each in others)

    def _usable(self) -> list[tuple[Endpoint, float]]:
        return usable(self.endpoints, panic=self.panicking, tiered=self._tiered)

    def _pick_of_many(self, avoid: Sequence[str], key: bytes) -> Endpoint | None:
        """As `pick`, where other gateway processes have a part in the loads."""
        ready = []
        seen = []
        out = others = False
        for endpoint in self.endpoints:
            if endpoint.healthy:
                if endpoint.name in avoid:
                    continue
                others = True
                view = endpoint.view()
                if view is not None:
                    ready.append(endpoint)
                    seen.append(view)
            else:
                out = True
        if self._tiered or (out and self.panicking):
            return self._pick_with_care(avoid, key)
        if not ready:
            return self._pick_of_many((), key) if avoid and not others else None
        return ready[self._policy.pick(seen, key)] if len(ready) > 1 else ready[0]

    def _pick_with_care(self, avoid: Sequence[str], key: bytes) -> Endpoint | None:
        """As `pick`, where endpoints have loads or weights that they do not know themselves."""
        able = self._usable()
        others = [pair for pair in able if pair[0].name not in avoid] or able
        ready = [Seen(each, weight) for each, weight in others if each.pending < each.cap]
        if len(ready) < 2:
            return ready[0].endpoint if ready else None
        return ready[self._policy.pick(ready, key)].endpoint

    def may_eject(self, endpoint: Endpoint) -> bool:
        """Never more than the share of those that are up, never the last one of them."""
        up = [each for each in self.endpoints if each.liveness.up and not each.draining]
        others = [each for each in up if each is not endpoint]
        out = sum(other.wrong or other.ejection.until is not None for other in others)
        if not any(other.healthy for other in others):
            return False
        return out < max(1, int(self._max_ejected * len(up)))
