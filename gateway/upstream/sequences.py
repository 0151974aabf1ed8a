# SPDX-License-Identifier: Apache-2.0
"""Sequences: the endpoint that each sequence of requests stays with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.upstream.policy.rendezvous import Rendezvous, hashed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.upstream.endpoint import Endpoint

# Sequences that are remembered at the same time; above it the one that was quiet longest is
# forgotten, and goes where its id belongs, which is where it was unless endpoints came or went.
KEPT: Final = 65536


class Sequences:
    """Which endpoint, and which life of it, has what of a sequence.

    The first request goes where the id belongs by rendezvous hashing, the same place in every
    gateway process; those after it stay there for as long as that life of the endpoint lasts,
    whoever joins the pool. When it has ended, so has what it knew: the next request goes to
    another endpoint, and a server that keeps states says that it does not know the sequence.
    """

    def __init__(self, *, kept: int = KEPT) -> None:
        self._kept = kept
        self._rendezvous = Rendezvous()
        self._places: dict[Any, tuple[str, str]] = {}

    def __repr__(self) -> str:
        return f"<Sequences {len(self._places)}>"

    def pick(
        self,
        parameters: Mapping[str, Any],
        candidates: Sequence[Endpoint],
        alive: Sequence[Endpoint],
    ) -> Endpoint | None:
        """The endpoint for the request with these *parameters*, None without any.

        *alive* are those that can be sent requests at all, *candidates* those among which a
        sequence may begin. Neither a full nor an ejected one is left: what it knows of the
        sequence is nowhere else.
        """
        # True, 1 and "1" are three ids.
        id_ = parameters["sequence_id"]
        told = (type(id_), id_)
        place = self._places.pop(told, None)
        endpoint: Endpoint | None = None
        if place is not None:
            endpoint = next((e for e in alive if (e.name, e.instance) == place), None)
        if endpoint is None:
            endpoint = self._begin(id_, candidates)
        if endpoint is None or parameters.get("sequence_end"):
            return endpoint
        # The last in the dict is the one used last.
        self._places[told] = (endpoint.name, endpoint.instance)
        if len(self._places) > self._kept:
            del self._places[next(iter(self._places))]
        return endpoint

    def _begin(self, id_: str | int, candidates: Sequence[Endpoint]) -> Endpoint | None:
        place, score = hashed(str(id_).encode()), self._rendezvous.score
        return max(candidates, key=lambda each: score(each.name, place, each.weight), default=None)
