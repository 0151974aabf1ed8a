# SPDX-License-Identifier: Apache-2.0
"""Outcomes as a table and as JSON, and what the command line takes."""

from __future__ import annotations

import dataclasses
import json

import pytest

from benchmarks.sim.__main__ import ABOUT, arguments, main
from benchmarks.sim.report import table, to_json
from benchmarks.sim.scenario import Outcome, Scenario
from benchmarks.sim.simulate import NAMES

GOOD = Outcome("least_outstanding", 100, 99, 0.0101, 0.0505, 4.9, 1.01, 0.5, 2.0)
NONE = Outcome("random", 100, 0, float("nan"), float("nan"), 0.0, 1.2, 0.0, 0.0)


def test_a_table_has_a_line_for_each_policy() -> None:
    """With columns that stand below each other, and a dash for what there is not."""
    lines = table([GOOD, NONE]).splitlines()
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert cells[2] == [
        "least_outstanding", "100", "99", "10.1", "50.5", "5", "1.010", "0.50", "2",
    ]  # fmt: skip
    assert cells[3][3:5] == ["-", "-"]


def test_json_has_the_scenario_with_the_outcomes() -> None:
    """What is not a number is null."""
    whole = json.loads(to_json(Scenario(seed=5), [GOOD, NONE]))
    assert whole["scenario"]["seed"] == 5
    assert whole["outcomes"][0]["p99"] == 0.0505
    assert whole["outcomes"][1]["p99"] is None


def test_every_part_of_a_scenario_is_an_option() -> None:
    """With words for it, and its default."""
    assert set(ABOUT) == {field.name for field in dataclasses.fields(Scenario)}
    assert arguments([]) == (Scenario(), list(NAMES), False)
    scenario, policies, as_json = arguments(
        ["--fails-to", "3", "--no-shared", "--policies", "random", "--json"]
    )
    assert (scenario.fails_to, scenario.shared, policies, as_json) == (3, False, ["random"], True)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("--endpoints 1", "--endpoints: expected 2 to 1000, got 1"),
        ("--slow 9", "--slow: expected 0 to 8, the number of endpoints"),
        ("--load 0", "--load: expected more than 0"),
        ("--retry-minimum -1", "--retry-minimum: expected 0 or more"),
        ("--skew 2", "--skew: expected a share from 0 to 1"),
        ("--policies best", "--policies: unknown best; there are least_outstanding, "),
        ("--seconds 1e9", "at most 2000000 are simulated"),
    ],
)
def test_refuses_what_cannot_be_simulated(
    given: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what would be right, before anything is run."""
    with pytest.raises(SystemExit) as caught:
        arguments(given.split())
    assert caught.value.code == 2
    assert fault in capsys.readouterr().err


def test_prints_what_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    """The circumstances, then the table."""
    assert main(["--endpoints", "2", "--seconds", "0.2", "--policies", "random,round_robin"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("2 workers, 1 of them 10 times slower; 120 requests/s for 0.2 s; ")
    assert [line.split()[1] for line in printed.splitlines()[-2:]] == ["random", "round_robin"]
