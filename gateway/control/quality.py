# SPDX-License-Identifier: Apache-2.0
"""Quality in the control process: the hub, who follows it, and its part of the admin API.

The one place of composition: a listener is a line in `follow`, a route a line in `Routes`.
"""

from __future__ import annotations

import asyncio
import os
from functools import lru_cache
from typing import TYPE_CHECKING

from gateway.control.answers import as_json
from gateway.control.candidate_api import CandidateApi
from gateway.control.candidates import Candidates
from gateway.control.drifting.follow import Follow
from gateway.control.drifting.routes import DriftRoutes
from gateway.control.figures import Figures
from gateway.control.probing.memory import Memory
from gateway.control.probing.rounds import Rounds
from gateway.control.probing.routes import Routes as ProbeRoutes
from gateway.control.probing.schedule import Schedule
from gateway.control.shadow_api import ShadowApi
from gateway.control.webhooks import Webhooks
from gateway.quality.database import default_url
from gateway.quality.desk import Desk
from gateway.quality.events import accuracy_event, drift_event, probe_event
from gateway.quality.hub import Hub
from gateway.quality.intake import Intake
from gateway.quality.ledger import Ledger
from gateway.quality.truth import Truth
from gateway.wire.probe import probe_token
from gateway.wire.runtime import labels_socket, samples_socket
from gateway.wire.samples import Observed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiohttp import web

    from gateway.config import Config
    from gateway.control.operations import Operations
    from gateway.stages.quality_options import QualityConfig
    from gateway.telemetry import Telemetry
    from gateway.telemetry.snapshot import Snapshot
    from gateway.wire.samples import Message


class Quality:
    """What the control process knows of answers and labels, for the models of *operations*.

    It lies in *runtime* where gateway processes hand over, and in the ledger. *metrics* gives those
    of all processes. Events go to `webhooks`, which whoever has one may notify.
    """

    def __init__(
        self,
        operations: Operations,
        *,
        runtime: Path,
        telemetry: Telemetry,
        metrics: Callable[[], Snapshot],
    ) -> None:
        self._operations = operations
        options = operations.config.ledger
        self.ledger = Ledger(
            options.url or default_url(os.environ),
            telemetry=telemetry,
            busy=options.busy_timeout,
            most=options.queue_bytes,
        )
        self.hub = Hub(
            self.ledger,
            self.truth,
            telemetry=telemetry,
            retention=options.retention,
            most=options.max_bytes,
            early=options.early_labels,
        )
        self.webhooks = Webhooks(telemetry=telemetry)
        self.figures = Figures(
            operations,
            self.ledger,
            telemetry,
            notify=lambda *told: self.webhooks.notify(accuracy_event(*told)),
            caught_up=lambda: self.hub.caught_up,
        )
        self._candidates = Candidates(
            operations,
            self.ledger,
            notify=self.webhooks.notify,
            metrics=metrics,
            telemetry=telemetry,
            promoted=self.figures.live.mark,
        )
        self._intake = Intake(samples_socket(runtime), self._take)
        self.probes = Schedule(
            operations,
            Rounds(Memory(self.ledger), runtime=runtime, token=probe_token(runtime)),
            runtime=runtime,
            telemetry=telemetry,
            notify=lambda told: self.webhooks.notify(probe_event(told)),
        )
        self._desk = Desk(
            labels_socket(runtime),
            self.hub.label,
            takes=lambda: wanted(operations.config),
            refused=lambda model: self._refused(telemetry, model),
        )
        self.drift = Follow(
            operations,
            self.ledger,
            telemetry=telemetry,
            notify=lambda told: self.webhooks.notify(drift_event(told)),
        )
        self._follow()
        self.webhooks.follow(operations.config.webhooks)
        operations.on_change(self._keep_up)

    def _keep_up(self) -> None:
        """Take over what a reload has changed."""
        if wanted(self._operations.config):
            self.hub.open()
        self.webhooks.follow(self._operations.config.webhooks)

    def __repr__(self) -> str:
        return f"<Quality {self.hub!r}>"

    def _take(self, message: Message) -> None:
        """Give what a gateway process has sent to whom it is for."""
        if isinstance(message, Observed):
            self.drift.take(message)
        else:
            self.hub.take(message)

    def _follow(self) -> None:
        """Add who follows predictions and labels, one line each."""
        self.hub.add(self.figures.live)
        self.hub.add(self._candidates.comparisons)

    def add_to(self, app: web.Application) -> None:
        """Give *app* the routes, one line each."""
        app.router.add_get("/v1/ledger", self.ledger_status)
        self.figures.add_to(app)
        ProbeRoutes(self.probes).add_to(app)
        DriftRoutes(self.drift).add_to(app)
        CandidateApi(self._operations, self._candidates, self.ledger).add_to(app)
        ShadowApi(self._operations, self.ledger).add_to(app)

    def truth(self, model: str) -> Truth | None:
        """How labels of *model* are read; None where it takes none."""
        section = self._operations.config.models.get(model)
        return None if section is None or section.quality is None else truth_of(section.quality)

    @staticmethod
    def _refused(telemetry: Telemetry, model: str) -> None:
        telemetry.quality.labels.cell(model, "rejected").value += 1

    async def run(self) -> None:
        """Take in what comes until cancelled."""
        if wanted(self._operations.config):
            self.hub.open()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._intake.run())
                group.create_task(self.probes.run())
                group.create_task(self._desk.run())
                group.create_task(self.figures.run())
                group.create_task(self.webhooks.run())
                group.create_task(self._candidates.run())
                group.create_task(self.drift.run())
        finally:
            await self.ledger.aclose()

    async def ledger_status(self, _: web.Request) -> web.Response:
        """Whether predictions and labels can be kept, and why not."""
        return as_json(self.ledger.status)


@lru_cache(maxsize=1024)
def truth_of(options: QualityConfig) -> Truth:
    """How labels are read where *options* say what answers are."""
    return Truth(
        options.task,
        options.names,
        conflict=options.labels.conflict,
        wait=options.labels.wait,
        reach=options.labels.reach,
    )


def wanted(config: Config) -> bool:
    """Whether any model keeps predictions."""
    return any(model.quality is not None or bool(model.shadow) for model in config.models.values())
