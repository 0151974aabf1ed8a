# SPDX-License-Identifier: Apache-2.0
"""The direct part of a round: each endpoint by itself, beside what its file answered first."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.control.probing.ask import Direct, NoAnswer
from gateway.control.probing.target import is_bare
from gateway.quality.probes.choice import choose, expected_digest
from gateway.quality.probes.golden import Golden, compare, golden_of
from gateway.quality.probes.report import Series
from gateway.quality.probes.rows import TOGETHER, Unusable
from gateway.quality.probes.score import score

if TYPE_CHECKING:
    from gateway.control.probing.memory import Memory
    from gateway.control.probing.pace import Answers, Pace
    from gateway.control.probing.target import Target
    from gateway.pools import Spot
    from gateway.quality.probes.rows import Rows
    from gateway.statistics.estimate import Estimate
    from gateway.wire.model import ModelInfo

# Another number of rows in a request than otherwise, which shows what company does to a row.
_APART: Final = 3


@dataclass(slots=True)
class Asked:
    """What one endpoint said: its model, its answers, and why not."""

    spot: Spot
    info: ModelInfo | None = None
    answers: Answers | None = None
    again: Answers | None = None
    error: str = ""


@dataclass(slots=True)
class Found:
    """The direct part: a series for each endpoint, the model as one of them told it.

    *ties* are the rows whose verdict is a matter of chance, by the digest that they are of.
    """

    series: list[Series] = field(default_factory=list)
    info: ModelInfo | None = None
    digest: str = ""
    ties: tuple[int, ...] = ()
    undecided: bool = False


class DirectPart:
    """Asks all endpoints of *target* for *rows*; *memory* has what they answered before."""

    def __init__(
        self, target: Target, rows: Rows, memory: Memory, pace: Pace, *, now: float
    ) -> None:
        self._target = target
        self._rows = rows
        self._memory = memory
        self._pace = pace
        self._now = now

    def __repr__(self) -> str:
        return f"<DirectPart {self._target.name}>"

    async def meet(self, spots: list[Spot]) -> Found:
        """What the first endpoint that is there says of its model, without asking for any row."""
        for spot in spots:
            try:
                async with Direct(
                    self._target.name, spot.name, self._target.transport(spot)
                ) as direct:
                    return Found(info=direct.info, digest=direct.info.digest)
            except NoAnswer:
                continue
        return Found()

    async def run(self, spots: list[Spot]) -> Found:
        """Ask each of *spots*, and compare."""
        asked = [await self._ask(spot) for spot in spots]
        # Endpoints of one model file are compared with each other's answers.
        groups: dict[str, list[Asked]] = defaultdict(list)
        for each in asked:
            groups[self._target.file_of(each.spot)].append(each)
        found = Found()
        for group in groups.values():
            await self._judge(group, found)
        order = {spot.name: place for place, spot in enumerate(spots)}
        found.series.sort(key=lambda series: order[series.endpoint])
        return found

    async def _ask(self, spot: Spot) -> Asked:
        asked = Asked(spot)
        try:
            async with Direct(self._target.name, spot.name, self._target.transport(spot)) as direct:
                asked.info = direct.info
                asked.answers = await self._all(direct, TOGETHER)
                golden = await self._golden(direct.info.digest)
                if golden is None or not compare(golden, asked.answers.outputs).same:
                    # For golden answers: how much the same row differs in other company. For
                    # others: a fault that does not stay is not worth an ejection.
                    asked.again = await self._all(direct, _APART)
        except (NoAnswer, Unusable) as error:
            asked.error, asked.answers = str(error), None
        return asked

    async def _all(self, direct: Direct, together: int) -> Answers:
        target, info = self._target, direct.info
        bare = is_bare(self._rows, target.seen_by_clients(info))
        requests = target.requests(self._rows, info, together=together)
        return await self._pace.ask_all(direct, requests, bare=bare)

    async def _golden(self, digest: str) -> Golden | None:
        name = self._target.golden_name(self._rows, digest, gateway=False)
        return await self._memory.golden(name)

    async def _judge(self, group: list[Asked], found: Found) -> None:
        answered = [each for each in group if each.answers is not None and each.info is not None]
        for each in group:
            if each not in answered:
                found.series.append(
                    Series(path="direct", endpoint=each.spot.name, error=each.error)
                )
        if not answered:
            return
        place = self._target.file_name(answered[0].spot)
        bound = await self._memory.text(place)
        digests = [each.info.digest for each in answered if each.info is not None]
        expected = expected_digest(bound, digests)
        if not expected:
            # As many have one file as another, and nobody knows which one is meant.
            found.undecided = True
        digest = expected or digests[0]
        golden = await self._golden(digest)
        first = golden is None
        if golden is None and expected:
            golden, undecided = self._first(answered, digest)
            if undecided:
                found.undecided, golden = True, None
            elif golden is not None:
                name = self._target.golden_name(self._rows, digest, gateway=False)
                await self._memory.set_golden(name, golden)
        if expected and golden is not None:
            await self._memory.set_text(place, digest)
        for each in answered:
            found.series.append(self._series(each, golden, first=first))
        if found.info is None:
            found.info, found.digest = answered[0].info, digest
            found.ties = () if golden is None else golden.ties

    def _first(self, answered: list[Asked], digest: str) -> tuple[Golden | None, bool]:
        """Golden answers of the model file *digest*, and whether nothing says that they are."""
        candidates: dict[str, Golden] = {}
        right: dict[str, float] = {}
        for each in answered:
            if each.info is None or each.answers is None or each.info.digest != digest:
                continue
            again = () if each.again is None else each.again.outputs
            candidates[each.spot.name] = golden_of(digest, self._now, each.answers.outputs, again)
            figures = self._figures(each.answers)
            if "accuracy" in figures:
                right[each.spot.name] = figures["accuracy"].value
        if not candidates:
            return None, False
        chosen = choose(candidates, right)
        return candidates[chosen.endpoint], chosen.undecided

    def _series(self, each: Asked, golden: Golden | None, *, first: bool) -> Series:
        if each.info is None or each.answers is None:
            raise ValueError(f"{each.spot.name} has not answered")
        change = None if golden is None else compare(golden, each.answers.outputs)
        if change is not None and golden is not None and each.again is not None:
            other = compare(golden, each.again.outputs)
            if (other.flipped, other.moved) < (change.flipped, change.moved):
                change = other
        stranger = golden is not None and each.info.digest != golden.digest
        # The one whose answers became golden has nothing to be compared with.
        own = first and change is not None and change.same and not stranger
        return Series(
            path="direct",
            endpoint=each.spot.name,
            digest=each.info.digest,
            rows=each.answers.rows,
            change=None if own else change,
            golden=None if golden is None or own else golden.at,
            figures=self._figures(each.answers),
            stranger=stranger,
        )

    def _figures(self, answers: Answers) -> dict[str, Estimate]:
        labels = self._rows.labels
        if labels is None:
            return {}
        quality = self._target.config.quality
        output = "" if quality is None or quality.output is None else quality.output
        figures = score(answers.outputs, labels[: answers.rows], output=output)
        return figures or score(answers.outputs, labels[: answers.rows])
