# SPDX-License-Identifier: Apache-2.0
"""The part of a round that goes through the data port, past the cache and through it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from gateway.control.probing.ask import NoAnswer, Through
from gateway.control.probing.target import is_bare
from gateway.quality.probes.golden import changed_rows, compare, golden_of
from gateway.quality.probes.report import Series
from gateway.quality.probes.rows import TOGETHER, Unusable
from gateway.quality.probes.score import score

if TYPE_CHECKING:
    from gateway.control.probing.memory import Memory
    from gateway.control.probing.pace import Answers, Pace
    from gateway.control.probing.target import Target
    from gateway.quality.probes.golden import Golden
    from gateway.quality.probes.options import Path
    from gateway.quality.probes.rows import Rows
    from gateway.wire.model import ModelInfo

_APART: Final = 3


class ThroughPart:
    """Asks the data port at *http* for *rows* of *target*, whose model file has *digest*.

    *info* is the model as a worker tells it. *ties* are rows whose verdict is a matter of chance.
    *trusted*: what comes may become golden, as every endpoint is right.
    """

    def __init__(
        self,
        target: Target,
        rows: Rows,
        memory: Memory,
        pace: Pace,
        *,
        http: str,
        token: str,
        info: ModelInfo,
        digest: str,
        ties: tuple[int, ...],
        trusted: bool,
        now: float,
    ) -> None:
        self._target = target
        self._rows = rows
        self._memory = memory
        self._pace = pace
        self._http = http
        self._token = token
        self._info = info
        self._name = target.golden_name(rows, digest, gateway=True)
        self._digest = digest
        self._ties = ties
        self._trusted = trusted
        self._now = now

    def __repr__(self) -> str:
        return f"<ThroughPart {self._target.name} {self._http}>"

    async def run(self, path: Path) -> Series:
        """Ask on *path*, cached or uncached, and compare."""
        try:
            client = self._target.seen_by_clients(self._info)
            answers = await self._all(path, client, TOGETHER)
            golden = await self._memory.golden(self._name)
            first = golden is None
            if golden is None and self._trusted:
                golden = await self._first(path, client, answers)
        except (NoAnswer, Unusable) as error:
            return Series(path=path, error=str(error))
        change = None if golden is None or first else compare(golden, answers.outputs)
        by: dict[str, int] = {}
        if golden is not None and change is not None and not change.same:
            rows = changed_rows(golden, answers.outputs)
            by = dict(Counter(answers.endpoints[row] for row in rows))
        labels = self._rows.labels
        return Series(
            path=path,
            digest=self._digest,
            rows=answers.rows,
            change=change,
            golden=None if golden is None or first else golden.at,
            figures={} if labels is None else score(answers.outputs, labels[: answers.rows]),
            from_cache=answers.cached,
            by=by,
        )

    async def _all(self, path: Path, client: ModelInfo, together: int) -> Answers:
        async with Through(
            self._target.name,
            self._http,
            token=self._token,
            cached=path == "cached",
            info=client,
        ) as through:
            requests = self._rows.requests(client, together=together)
            bare = is_bare(self._rows, client)
            return await self._pace.ask_all(through, requests, bare=bare)

    async def _first(self, path: Path, client: ModelInfo, answers: Answers) -> Golden:
        again = await self._all(path, client, _APART)
        golden = golden_of(self._digest, self._now, answers.outputs, again.outputs, ties=self._ties)
        await self._memory.set_golden(self._name, golden)
        return golden
