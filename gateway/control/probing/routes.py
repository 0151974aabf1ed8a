# SPDX-License-Identifier: Apache-2.0
"""The part of the admin API that shows probes and has a round run now."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.control.actions import body_of
from gateway.control.answers import as_json, refusal
from gateway.control.probing.schedule import Unknown

if TYPE_CHECKING:
    from aiohttp import web

    from gateway.control.probing.schedule import Schedule
    from gateway.quality.probes.report import Round

SCHEMA_VERSION: Final = 1


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which set to ask now; *file* is one that the configuration names, "" for the first.

    *accept*: forget what was golden, and take the answers of this round for it.
    """

    model: str
    file: str = ""
    accept: bool = False


class Routes:
    """The handlers over *schedule*."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def add_to(self, app: web.Application) -> None:
        """Give *app* the routes."""
        app.router.add_get("/v1/probes", self.show)
        app.router.add_post("/v1/probes", self.run)

    async def show(self, _: web.Request) -> web.Response:
        """Every set with its last rounds, the newest first."""
        sets = [
            {
                "model": name,
                "file": probe.file,
                "every": probe.every,
                "rows": probe.rows,
                "paths": list(probe.paths),
                "eject": probe.eject,
                "rounds": [told(each) for each in rounds],
            }
            for name, probe, rounds in self._schedule.sets()
        ]
        return as_json({"schema_version": SCHEMA_VERSION, "probes": sets})

    async def run(self, request: web.Request) -> web.Response:
        """Ask a set now; answers with the round when it is over."""
        wanted = await body_of(request, Wanted)
        schedule = self._schedule
        try:
            probe = schedule.find(wanted.model, wanted.file)
            found = await schedule.ask(wanted.model, probe, accept=wanted.accept)
        except Unknown as error:
            raise refusal(HTTPStatus.NOT_FOUND, str(error)) from None
        return as_json({"schema_version": SCHEMA_VERSION, **told(found)})


def told(found: Round) -> dict[str, Any]:
    """A round as plain data; what is not a number is null."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(found))
    return plain
