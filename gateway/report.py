# SPDX-License-Identifier: Apache-2.0
"""Report: what a gateway process tells of its models and endpoints, in gauges and to operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.wire.state import EndpointState, GatewayState, ModelState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.serving import Gateway
    from gateway.telemetry import Telemetry
    from gateway.upstream.endpoint import Endpoint
    from gateway.upstream.pool import Pool

STATES: Final = ("ready", "down", "ejected", "draining")


def seen(pool: Pool) -> Iterator[tuple[Endpoint, str]]:
    """Every endpoint of *pool* with its state in one word; what is kept out counts as draining."""
    for endpoint in pool.endpoints:
        yield endpoint, endpoint.state
    for endpoint in (*pool.held, *pool.leaving):
        yield endpoint, "draining" if endpoint.liveness.up else endpoint.state


def states(gateway: Gateway, *, http: str = "") -> GatewayState:
    """What *gateway*, which takes requests at *http*, knows of its endpoints now."""
    telemetry = gateway.telemetry
    models = {
        name: ModelState(
            ready=model.ready,
            queued=int(telemetry.queued_rows.cell(name).value),
            version=model.pool.info.version if model.pool.info else "",
            digest=model.pool.info.digest if model.pool.info else "",
            endpoints=tuple(
                EndpointState(
                    name=endpoint.name,
                    address=endpoint.transport.address,
                    state=state,
                    pending=endpoint.pending,
                    weight=endpoint.weight,
                    attempts=endpoint.attempts,
                    ejected_for=endpoint.ejection.left,
                    wrong=endpoint.wrong,
                )
                for endpoint, state in seen(model.pool)
            ),
        )
        for name, model in gateway.models.items()
    }
    return GatewayState(
        models=models, generation=gateway.generation.number, ending=gateway.ending, http=http
    )


class Gauges:
    """The gauges of all endpoints; those of an endpoint that has gone are taken away."""

    def __init__(self, gateway: Gateway, telemetry: Telemetry) -> None:
        self._gateway = gateway
        self._telemetry = telemetry
        self._known: set[str] = set()
        self._models: set[str] = set()

    def __repr__(self) -> str:
        return f"<Gauges of {len(self._known)} endpoints>"

    def fill(self) -> None:
        """Take the present values."""
        telemetry = self._telemetry
        pending: dict[str, int] = {}
        states: dict[str, str] = {}
        for pool in self._gateway.pools():
            telemetry.panic.cell(pool.model).value = int(pool.panicking)
            for endpoint, state in seen(pool):
                # A name may be there twice for a moment, while its old connection ends.
                pending[endpoint.name] = pending.get(endpoint.name, 0) + endpoint.pending
                states.setdefault(endpoint.name, state)
        for name, state in states.items():
            telemetry.pending.cell(name).value = pending[name]
            for each in STATES:
                telemetry.endpoint_state.cell(name, each).value = int(each == state)
        for name in self._known - set(states):
            telemetry.pending.drop(name)
            for each in STATES:
                telemetry.endpoint_state.drop(name, each)
        models = set(self._gateway.models)
        for name in self._models - models:
            telemetry.queued_rows.drop(name)
            telemetry.panic.drop(name)
        self._known, self._models = set(states), models
        telemetry.config_generation.cell().value = self._gateway.generation.number
