# SPDX-License-Identifier: Apache-2.0
"""Document: all that a load test or a search found, as JSON with a version.

Docs: docs/reference/bench-report.md, which a test holds to these structs.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import urlsplit, urlunsplit

import msgspec

from gateway.lab import LabError
from gateway.lab.account.account import Account
from gateway.lab.load.run import Run, decode_histogram, encode_histogram
from gateway.lab.report.front import Front
from gateway.lab.search.against import Comparison
from gateway.lab.search.evidence import Judgement
from gateway.lab.search.gate import Gate
from gateway.lab.search.knee import Knees
from gateway.lab.search.limit import Limit
from gateway.lab.search.point import Point
from gateway.lab.search.scenarios import Burst, Overload
from gateway.lab.search.slo import Slo

# It grows when a reader of the old one would misread the new one.
SCHEMA: Final = 1
Validity = Literal["VALID", "INVALID"]
# Headers of requests whose values are no secret; those of all others are not written down.
_PLAIN_HEADERS: Final = frozenset(
    {"accept", "accept-encoding", "cache-control", "content-type", "user-agent",
     "x-request-timeout-ms"}
)  # fmt: skip
MASK: Final = "***"


class Sweep(msgspec.Struct, frozen=True):
    """Points at different values of one setting, such as "concurrency"."""

    name: str
    points: tuple[Point, ...]


class Held(msgspec.Struct, frozen=True):
    """What a run at one rate says of an SLO; *reason* is why it says nothing, where it does not."""

    slo: Slo
    judgement: Judgement | None = None
    reason: str = ""


class Report(msgspec.Struct, kw_only=True):
    """What was measured, and every answer that was asked for. Most of it is optional."""

    schema: int = SCHEMA
    name: str = ""
    # "load test", "limit", "sweep", "comparison", "overload", "burst" or "tuning".
    kind: str = "load test"
    # Unix time, and the version of this program.
    made: float = 0.0
    version: str = ""
    # At one setting, one for each repeat.
    runs: list[Run] = []
    held: Held | None = None
    limit: Limit | None = None
    knees: Knees | None = None
    sweep: Sweep | None = None
    comparison: Comparison | None = None
    gate: Gate | None = None
    overload: Overload | None = None
    burst: Burst | None = None
    account: Account | None = None
    front: Front | None = None

    @property
    def verdict(self) -> Validity:
        """INVALID where any figure may be the generator's own."""
        return "INVALID" if self.reasons else "VALID"

    @property
    def reasons(self) -> list[str]:
        """Why it is not valid."""
        reasons = [reason for run in self.runs if not run.valid for reason in run.reasons]
        points: list[Point] = []
        if self.limit is not None:
            points += [one for each in self.limit.confirmations for one in each.points]
            if not self.limit.rate:
                # Without an answer, what kept it from one is told.
                points += [one.point for one in self.limit.probes]
        if self.sweep is not None:
            points += self.sweep.points
        if self.comparison is not None:
            points += [one for pair in self.comparison.rounds for one in pair]
        if self.overload is not None:
            points += [self.overload.at_limit, self.overload.beyond]
        reasons += [
            f"{one.name} {one.value:g}: {reason}"
            for one in points
            if not one.valid
            for reason in one.reasons
        ]
        return list(dict.fromkeys(reasons))

    @property
    def passed(self) -> bool:
        """Whether every question that was asked is answered with yes."""
        return not (
            (self.limit is not None and not self.limit.rate)
            or (self.held is not None and not self._keeps(self.held))
            or (self.gate is not None and not self.gate.passed)
            or (self.overload is not None and not self.overload.passed)
            or (self.burst is not None and self.burst.recovery is None)
        )

    @staticmethod
    def _keeps(held: Held) -> bool:
        """Proven or undecided, but kept as counted: what is proven broken, or not judged, is no."""
        return (
            held.judgement is not None and held.judgement.verdict != "fail" and held.judgement.met
        )

    @property
    def when(self) -> str:
        """In UTC, to the minute."""
        return datetime.fromtimestamp(self.made, UTC).strftime("%Y-%m-%d %H:%M UTC")

    def json(self) -> bytes:
        """The document, without secrets."""
        clean = msgspec.structs.replace(self, runs=[masked(run) for run in self.runs])
        data = msgspec.json.encode(clean, enc_hook=encode_histogram)
        return msgspec.json.format(data, indent=1) + b"\n"

    @classmethod
    def parse(cls, data: bytes, *, name: str = "report") -> Self:
        """What `json` gave; LabError, naming *name*, for anything else."""
        try:
            version = msgspec.json.decode(data, type=_Versioned).schema
            if version != SCHEMA:
                raise LabError(f"{name}: schema {version}; this program reads {SCHEMA}")
            return msgspec.json.decode(data, type=cls, dec_hook=decode_histogram)
        except msgspec.MsgspecError as error:
            raise LabError(f"{name}: not the report of a load test: {error}") from None


class _Versioned(msgspec.Struct):
    schema: int


def masked(run: Run) -> Run:
    """*run* without the values of headers that may be secret, and without a user in the URL."""
    headers = tuple(
        (name, value if name.lower() in _PLAIN_HEADERS else MASK)
        for name, value in run.plan.headers
    )
    plan = msgspec.structs.replace(run.plan, headers=headers, url=without_user(run.plan.url))
    return msgspec.structs.replace(run, plan=plan)


def without_user(url: str) -> str:
    """*url* without the user and password before its host."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def read(path: str) -> Report:
    """The report in the file *path*, or one around the run that is there; raises LabError."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise LabError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError as error:
        raise LabError(f"{path}: not the report of a load test: {error}") from None
    if "plan" in fields:
        run = Run.parse(data, name=path)
        return Report(name=Path(path).stem, made=run.started, runs=[run])
    return Report.parse(data, name=path)
