# SPDX-License-Identifier: Apache-2.0
"""The view of all endpoints, put together from what each gateway process last wrote of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.wire.runtime import state_directory
from gateway.wire.state import EndpointState, GatewayState

if TYPE_CHECKING:
    from pathlib import Path

# A gateway writes once a second; one that has not for this long is gone or stuck.
STALE: Final = 5.0
# What processes disagree on.
MIXED: Final = "mixed"


_decoder: Final = msgspec.msgpack.Decoder(GatewayState)


def read_states(runtime: Path, *, now: float) -> dict[str, GatewayState]:
    """The last state of each gateway process that wrote within `STALE` seconds before *now*.

    *now* is wall-clock time, as files have it. A file that is not a state, or that vanishes
    while it is read, counts as not written.
    """
    states: dict[str, GatewayState] = {}
    for path in sorted(state_directory(runtime).glob("gateway-*.msgpack")):
        try:
            if now - path.stat().st_mtime <= STALE:
                states[path.stem] = _decoder.decode(path.read_bytes())
        except (OSError, msgspec.DecodeError):
            continue
    return states


def backends(states: dict[str, GatewayState]) -> dict[str, Any]:
    """One view of the *states* of all gateway processes, as plain JSON values.

    Counts are added up. An endpoint has the state on which all processes agree, or ``mixed``;
    ``states`` then tells them apart; a version or digest likewise. A model is ready if it is ready
    in every process. ``generations`` has the number of each process.
    """
    models: dict[str, Any] = {}
    for gateway, state in states.items():
        for name, model in state.models.items():
            seen = models.setdefault(
                name,
                {
                    "ready": True,
                    "queued": 0,
                    "version": model.version,
                    "digest": model.digest,
                    "endpoints": {},
                },
            )
            for told in ("version", "digest"):
                if getattr(model, told) != seen[told]:
                    seen[told] = MIXED
            seen["ready"] = seen["ready"] and model.ready
            seen["queued"] += model.queued
            for endpoint in model.endpoints:
                _add(seen["endpoints"], gateway, endpoint)
    for model in models.values():
        model["endpoints"] = list(model["endpoints"].values())
    return {
        "gateways": list(states),
        "generations": {gateway: state.generation for gateway, state in states.items()},
        "models": models,
    }


def _add(seen: dict[str, dict[str, Any]], gateway: str, endpoint: EndpointState) -> None:
    entry = seen.get(endpoint.name)
    if entry is None:
        seen[endpoint.name] = {
            **msgspec.structs.asdict(endpoint),
            "states": {gateway: endpoint.state},
        }
        return
    entry["pending"] += endpoint.pending
    entry["attempts"] += endpoint.attempts
    entry["ejected_for"] = max(
        (each for each in (entry["ejected_for"], endpoint.ejected_for) if each is not None),
        default=None,
    )
    entry["wrong"] = entry["wrong"] or endpoint.wrong
    entry["states"][gateway] = endpoint.state
    if endpoint.state != entry["state"]:
        entry["state"] = MIXED
