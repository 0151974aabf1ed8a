# SPDX-License-Identifier: Apache-2.0
"""A run is told with its circumstances, its verdicts and a table a case."""

import dataclasses
import json

from benchmarks.report import Run, to_json, to_markdown
from benchmarks.summary import Sample, Soak


def sample(number: int, contender: str, rate: float) -> Sample:
    """One sample of the main case."""
    return Sample(number, "digits-32", contender, rate, 0.4, 1.1, 3.0, 0.0213, 27.4, 0.013)


RUN = Run(
    date="2026-01-02T03:04:05+00:00",
    commit="abc1234",
    modified=True,
    machine={"Processor": "A processor", "Cores": "2"},
    rounds=2,
    seconds=5,
    quiet=0.08,
    contenders={"gateway (digits)": "this commit"},
    samples=[
        sample(0, "gateway", 50000.0),
        sample(0, "haproxy", 60000.0),
        sample(1, "gateway", 54000.0),
        sample(1, "haproxy", 60000.0),
    ],
    soak=[Soak(1_000_000, 88.25)],
)


def test_the_head_says_what_was_measured_where() -> None:
    """Commit, changes, machine and rounds stand above every figure."""
    lines = to_markdown(RUN).splitlines()
    assert lines[0] == "# Benchmark of 2026-01-02, commit abc1234"
    assert "| Commit | abc1234 with changes that are not committed |" in lines
    assert "| Processor | A processor |" in lines
    assert "| Rounds | 2, 5 s a sample |" in lines


def test_a_case_lists_the_fastest_first_with_its_spread() -> None:
    """Median, lowest and highest; a figure that did not move stands alone."""
    lines = to_markdown(RUN).splitlines()
    first = lines.index("## digits, one row as JSON, 32 connections") + 4
    assert lines[first] == "| haproxy | 60,000 | 0.400 | 1.100 | 0.0213 | 27 | 1% |"
    assert lines[first + 1].startswith("| gateway | 52,000 (50,000 to 54,000) |")


def test_a_target_says_aim_figure_and_verdict() -> None:
    """A miss is as plain as a success."""
    page = to_markdown(RUN)
    assert (
        "| digits-32: requests/s of gateway over haproxy | at least 1 "
        "| 0.87 (0.83 to 0.90) | **not met** |"
    ) in page
    assert "| soak: MiB of one gateway process after 1,000,000 requests | at most 120 " in page


def test_disturbed_samples_are_owned_up_to() -> None:
    """A reader learns that a figure was taken on a busy machine."""
    assert "are disturbed" not in to_markdown(RUN)
    busy = dataclasses.replace(RUN, quiet=0.01)
    assert "Of 4 samples, 4 are disturbed: others used more than 1%" in to_markdown(busy)


def test_a_case_that_was_not_measured_has_no_table() -> None:
    """An empty table would look like a measurement."""
    assert "8 connections" not in to_markdown(RUN)


def test_the_json_holds_every_sample_and_verdict() -> None:
    """What the page rounds is there in full."""
    whole = json.loads(to_json(RUN))
    assert [entry["rate"] for entry in whole["samples"]] == [50000.0, 60000.0, 54000.0, 60000.0]
    assert whole["verdicts"][0]["met"] is False
    assert whole["soak"] == [{"requests": 1000000, "rss_mib": 88.25}]


def test_files_are_named_by_day_and_commit() -> None:
    """Results of several commits stand side by side."""
    assert RUN.name == "2026-01-02-abc1234"
