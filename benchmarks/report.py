# SPDX-License-Identifier: Apache-2.0
"""Write a run as Markdown for people and as JSON for programs."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.plan import CASES, Case
from benchmarks.summary import Sample, Soak, Spread, Verdict, verdicts

METHOD = """\
Every contender is started anew in every round, alone on the machine, and ended after it.
The order of the contenders moves on by one from round to round.
Before it is measured, eight clients at a time ask it every request once, and each answer is \
checked against the label and the probabilities that onnxruntime gives (a proxy: its constant).
Load is closed-loop, from one thread of wrk on the same machine, after a second of warm-up, \
over 256 different rows or 16 different images.
An answer other than a success, or a lost connection, fails the run.
CPU and resident memory are of the contender's whole process tree, a proxy's upstream included; \
memory that processes share counts for each.
A sample during which others used more of the machine than is allowed (column foreign) is taken \
again; the least disturbed one counts.
Figures are medians over the rounds, with the lowest and the highest in brackets.
A ratio is taken within a round; then comes its median over the rounds.
"""


@dataclass(frozen=True)
class Run:
    """All that one call has measured, and under which circumstances."""

    date: str
    commit: str
    modified: bool
    machine: Mapping[str, str]
    rounds: int
    seconds: float
    quiet: float
    contenders: Mapping[str, str]
    samples: Sequence[Sample]
    startup: Sequence[float] = field(default=())
    soak: Sequence[Soak] = field(default=())

    @property
    def verdicts(self) -> list[Verdict]:
        """What was aimed at and what came out."""
        return verdicts(self.samples, self.startup, self.soak)

    @property
    def name(self) -> str:
        """The stem of its files."""
        return f"{self.date[:10]}-{self.commit}"


def to_json(run: Run) -> str:
    """Every sample and verdict of *run*."""
    whole = dataclasses.asdict(run)
    whole["verdicts"] = [dataclasses.asdict(verdict) for verdict in run.verdicts]
    return json.dumps(whole, indent=1) + "\n"


def to_markdown(run: Run) -> str:
    """The page of *run*: circumstances, verdicts, then a table a case."""
    commit = run.commit + (" with changes that are not committed" if run.modified else "")
    lines = [f"# Benchmark of {run.date[:10]}, commit {run.commit}", ""]
    facts = {"Commit": commit, "Date": run.date, **run.machine}
    facts["Rounds"] = f"{run.rounds}, {run.seconds:g} s a sample"
    lines += _table(["", ""], [[name, value] for name, value in facts.items()])
    lines += ["## Targets", ""]
    lines += _table(
        ["", "aim", "measured", ""],
        [
            [verdict.about, verdict.aim, _spread(verdict.figure, 2), _word(verdict.met)]
            for verdict in run.verdicts
        ],
    )
    disturbed = sum(sample.foreign > run.quiet for sample in run.samples)
    if disturbed:
        share = f"{run.quiet:.0%} of the machine"
        count = f"Of {len(run.samples)} samples, {disturbed} are disturbed"
        lines += [f"{count}: others used more than {share} meanwhile.", ""]
    for case in CASES:
        lines += _case(run, case)
    if run.soak:
        lines += ["## Memory of one gateway process", ""]
        rows = [[f"{soak.requests:,}", f"{soak.rss_mib:.1f}"] for soak in run.soak]
        lines += _table(["requests", "MiB"], rows)
    lines += ["## Contenders", ""]
    lines += _table(["", ""], [[name, about] for name, about in run.contenders.items()])
    lines += ["## Method", "", METHOD]
    return "\n".join(lines)


def _case(run: Run, case: Case) -> list[str]:
    """The table of one case, the fastest first; nothing where it was not measured."""
    by_name: dict[str, list[Sample]] = {}
    for sample in run.samples:
        if sample.case == case.name:
            by_name.setdefault(sample.contender, []).append(sample)
    rows = []
    for name, samples in by_name.items():
        rate = Spread.over(sample.rate for sample in samples)
        row = [
            name,
            _spread(rate, 0),
            _spread(Spread.over(sample.p50_ms for sample in samples), 3),
            _spread(Spread.over(sample.p99_ms for sample in samples), 3),
            f"{Spread.over(sample.cpu_ms for sample in samples).median:.4f}",
            f"{Spread.over(sample.rss_mib for sample in samples).median:.0f}",
            f"{max(sample.foreign for sample in samples):.0%}",
        ]
        rows.append((rate.median, row))
    if not rows:
        return []
    header = ["", "requests/s", "p50 ms", "p99 ms", "CPU s per 1,000", "RSS MiB", "foreign"]
    rows.sort(key=lambda pair: -pair[0])
    return [f"## {case.about}", "", *_table(header, [row for _, row in rows])]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---"] * len(header)
    return [f"| {' | '.join(cells)} |" for cells in [header, rule, *rows]] + [""]


def _spread(spread: Spread, digits: int) -> str:
    median, low, high = (
        f"{value:,.{digits}f}" for value in (spread.median, spread.low, spread.high)
    )
    return f"{median} ({low} to {high})" if low != high else median


def _word(met: bool) -> str:  # noqa: FBT001 - a verdict is a yes or a no
    return "met" if met else "**not met**"
