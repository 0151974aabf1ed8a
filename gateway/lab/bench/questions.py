# SPDX-License-Identifier: Apache-2.0
"""Questions: what a load test is to find out besides how long answers take."""

from __future__ import annotations

from typing import Final, Literal, Self, get_args

import msgspec

from gateway.lab import LabError
from gateway.lab.load.run import Plan
from gateway.lab.search.against import LEAST_ROUNDS
from gateway.lab.search.slo import Slo
from gateway.units import format_duration, parse_size

Scenario = Literal["overload", "burst"]
SCENARIOS: Final[tuple[Scenario, ...]] = get_args(Scenario)
Swept = Literal["rate", "concurrency", "batch", "payload"]
SWEPT: Final[tuple[Swept, ...]] = get_args(Swept)


class Sweep(msgspec.Struct, frozen=True):
    """One setting and the values to try: payload is in bytes of input in a request."""

    name: Swept
    values: tuple[float, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``concurrency=1,2,4``, ``payload=1KiB,1MiB``; raises LabError."""
        name, equals, rest = text.partition("=")
        kinds = {one: one for one in SWEPT}
        if not equals or name not in kinds:
            raise LabError(
                f"--sweep '{text}': expected {', '.join(SWEPT)} and its values, "
                "such as concurrency=1,2,4,8"
            )
        values = []
        for word in rest.split(","):
            try:
                value = float(parse_size(word) if name == "payload" else float(word))
            except ValueError as error:
                raise LabError(f"--sweep '{text}': {error}") from None
            if not 0 < value < float("inf") or (name != "rate" and value != int(value)):
                raise LabError(f"--sweep '{text}': expected numbers above 0, got '{word}'")
            values.append(value)
        return cls(kinds[name], tuple(values))


class Questions(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. *seeks_limit*: no load was given, so the highest one is to be found."""

    slo: Slo | None = None
    seeks_limit: bool = False
    confidence: float = 0.99
    # Of a probe of the search for the limit, at the most, in seconds.
    longest_probe: float = 40.0
    resolution: float = 0.02
    sweep: Sweep | None = None
    scenario: Scenario | None = None
    # The URL of another deployment.
    against: str = ""
    rounds: int = 5
    # A stored result, by its name or file.
    baseline: str = ""
    tolerance: float = 0.1
    repeats: int = 1
    level: float = 0.95

    def check(self, plan: Plan) -> None:
        """Raise LabError for what cannot be asked of *plan*, or not together."""
        several = [
            name
            for name, asked in (
                ("--sweep", self.sweep is not None),
                ("--against", bool(self.against)),
                ("--scenario", self.scenario is not None and not self.seeks_limit),
            )
            if asked
        ]
        if len(several) > 1:
            raise LabError(f"{' and '.join(several)}: expected one of them at a time")
        if self.baseline and several:
            raise LabError(f"--baseline and {several[0]}: expected one of them at a time")
        for name, value in (("--confidence", self.confidence), ("--level", self.level)):
            if not 0.5 <= value < 1:
                raise LabError(f"{name} {value:g}: expected a share such as 0.99")
        if self.repeats < 1 or (self.against and self.rounds < LEAST_ROUNDS):
            raise LabError(
                f"--repeats {self.repeats}, --rounds {self.rounds}: expected 1 or more repeats, "
                f"and {LEAST_ROUNDS} or more rounds"
            )
        if self.tolerance <= 0:
            raise LabError(f"--tolerance {self.tolerance:g}: expected a share above 0, such as 10%")
        self._check_slo(plan)
        if self.sweep is not None:
            _check_sweep(self.sweep, plan)
        if self.scenario is not None and not plan.is_open:
            raise LabError(
                f"--scenario {self.scenario} in a closed loop: expected --rate, since a closed "
                "loop cannot offer more than is answered"
            )

    def _check_slo(self, plan: Plan) -> None:
        if self.slo is not None and plan.timeout <= self.slo.within:
            raise LabError(
                f"--timeout {format_duration(plan.timeout)}: expected more than the SLO's "
                f"{format_duration(self.slo.within)}"
            )
        if self.scenario == "overload" and self.slo is None:
            raise LabError("--scenario overload: expected --slo too, which says what goodput is")
        if self.seeks_limit and self.slo is None:
            raise LabError("expected --rate, --concurrency, or --slo to search the highest rate")
        if self.seeks_limit and (self.sweep or self.against or self.baseline):
            raise LabError(
                "--sweep, --against and --baseline compare at one load: "
                "expected --rate or --concurrency beside them"
            )


def _check_sweep(sweep: Sweep, plan: Plan) -> None:
    if sweep.name == "rate" and not plan.is_open:
        raise LabError("--sweep rate in a closed loop: expected no --concurrency")
    if sweep.name == "concurrency" and plan.is_open:
        raise LabError("--sweep concurrency in an open loop: expected no --rate")
