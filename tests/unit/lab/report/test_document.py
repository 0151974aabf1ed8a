# SPDX-License-Identifier: Apache-2.0
"""The document: kept whole, without secrets, and with a verdict."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from gateway.lab import LabError
from gateway.lab.report.document import MASK, Held, Report, read, without_user
from gateway.lab.search.evidence import Evidence, judge
from gateway.lab.search.scenarios import Burst
from gateway.lab.search.slo import Slo
from tests.support.reports import SLO, loaded, whole
from tests.support.runs import run_of


async def test_is_read_as_it_was_written() -> None:
    """Every part, histograms with it."""
    report = await whole()
    again = Report.parse(report.json())
    # Whole numbers in the place of fractions have become fractions: from then on it stays the same.
    assert Report.parse(again.json()).json() == again.json()
    assert again.runs[0].response == report.runs[0].response
    assert again.limit == report.limit
    assert json.loads(report.json())["schema"] == 1


async def test_secrets_are_not_written_down() -> None:
    """Values of headers that are not known to be harmless, and a user before the host."""
    run = await loaded(seconds=5)
    run.plan = msgspec.structs.replace(
        run.plan,
        url="https://me:hidden@server/path",
        headers=(("Authorization", "Bearer hidden"), ("X-Own", "hidden"), ("Accept", "text/plain")),
    )
    data = Report(runs=[run]).json().decode()
    assert "hidden" not in data
    plan = Report.parse(data.encode()).runs[0].plan
    assert plan.headers == (("Authorization", MASK), ("X-Own", MASK), ("Accept", "text/plain"))
    assert plan.url == "https://server/path"
    # What goes on to be used is as it was.
    assert run.plan.headers[0][1] == "Bearer hidden"
    assert without_user("http://server:8000/x") == "http://server:8000/x"


def test_a_run_alone_is_read_as_a_report(tmp_path: Path) -> None:
    """What older or other tools have written."""
    path = tmp_path / "run.json"
    path.write_bytes(run_of([[0.01] * 10]).json())
    assert read(str(path)).runs[0].ok == 10


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"nothing", "not the report of a load test"),
        (b"[]", "not the report of a load test"),
        (b'{"schema": 99}', "schema 99; this program reads 1"),
        (b'{"schema": 1, "runs": 3}', "not the report of a load test"),
        (b"{}", "not the report of a load test"),
    ],
)
def test_says_what_cannot_be_read(tmp_path: Path, content: bytes | None, says: str) -> None:
    """One line that names the file."""
    path = tmp_path / "some.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LabError) as caught:
        read(str(path))
    assert str(caught.value).startswith(str(path))
    assert says in str(caught.value)


def test_one_run_that_is_not_valid_makes_a_report_invalid() -> None:
    """With its reasons, each once."""
    run = run_of([[0.01] * 10])
    assert Report(runs=[run]).verdict == "VALID"
    run.valid, run.reasons = False, ["late", "late", "busy"]
    report = Report(runs=[run])
    assert (report.verdict, report.reasons) == ("INVALID", ["late", "busy"])


async def test_a_round_that_is_not_valid_is_named() -> None:
    """In a comparison, where there is no run beside."""
    report = await whole()
    assert report.comparison is not None
    first, other = report.comparison.rounds[1]
    bad = msgspec.structs.replace(other, valid=False, reasons=("late",))
    rounds = (report.comparison.rounds[0], (first, bad))
    report.comparison = msgspec.structs.replace(report.comparison, rounds=rounds)
    assert report.reasons == ["round 2: late"]


@pytest.mark.parametrize(
    ("seconds", "errors", "passed"), [([0.001], 0, True), ([0.5], 0, False), ([0.001], 50, False)]
)
def test_passes_what_keeps_its_slo(
    seconds: list[float],
    errors: int,
    passed: bool,  # noqa: FBT001 - what is expected
) -> None:
    """Proven or not, as long as it is kept as counted."""
    run = run_of([seconds * 100] * 10, errors=[errors] * 10)
    judgement = judge(Evidence.of_run(run, SLO), SLO, confidence=0.99)
    assert Report(runs=[run], held=Held(SLO, judgement)).passed is passed


def test_an_slo_that_was_not_judged_is_not_passed() -> None:
    """A closed loop says nothing of it, and nothing is no yes."""
    assert not Report(held=Held(Slo.parse("p99=1s"), None, "a closed loop")).passed
    assert not Report(burst=Burst(3.0, 10.0, 0.01, 1.0, None)).passed
    assert Report().passed
