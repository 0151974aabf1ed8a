# SPDX-License-Identifier: Apache-2.0
"""Measure the gateway beside its peers and write what came out to benchmarks/results/."""

import argparse
import datetime as dt
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import contenders, lifecycle, machine, measure, report
from benchmarks.contenders import Contender, Loop
from benchmarks.plan import CASES, SOAK, SOAK_REQUESTS, STARTUP, Case, choose, rotated
from benchmarks.processes import BenchmarkError
from benchmarks.summary import Sample, Soak, Spread

RESULTS = Path(__file__).with_name("results")
Contenders = Mapping[str, Contender | Loop]


def words(text: str) -> list[str]:
    """Split a list as it is given on a command line."""
    return [word for word in text.replace(" ", ",").split(",") if word]


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; ends with 2 and one line on what is wrong."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="2 s a sample, and no files unless --output"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds over all contenders (3)")
    parser.add_argument("--seconds", type=int, help="seconds a sample (5)")
    parser.add_argument(
        "--cases",
        type=words,
        default=[],
        help=f"of {', '.join(case.name for case in CASES)}, {STARTUP}, {SOAK}; digits is all three",
    )
    parser.add_argument("--only", type=words, default=[], help="contenders to keep, with commas")
    parser.add_argument(
        "--soak",
        type=int,
        nargs="?",
        const=SOAK_REQUESTS,
        metavar="REQUESTS",
        help="also watch the gateway's memory over so many requests (1,000,000)",
    )
    parser.add_argument(
        "--yardstick",
        type=Path,
        default=os.environ.get("BENCH_YARDSTICK"),
        metavar="DIR",
        help="also measure a toy of gateway.py and worker.py in DIR (BENCH_YARDSTICK)",
    )
    parser.add_argument(
        "--quiet",
        type=float,
        default=0.08,
        metavar="SHARE",
        help="share of the machine that others may use during a sample (0.08)",
    )
    parser.add_argument(
        "--patience", type=float, help="seconds to wait for such a machine (60; quick: 10)"
    )
    parser.add_argument("--output", type=Path, help="directory to write to (benchmarks/results)")
    options = parser.parse_args(argv)
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    if options.seconds is None:
        options.seconds = 2 if options.quick else 5
    if options.patience is None:
        options.patience = 10.0 if options.quick else 60.0
    if options.seconds < 1:
        parser.error("--seconds: at least 1")
    try:
        options.cases = choose(options.cases)
    except ValueError as error:
        parser.error(f"--cases: {error}")
    known = {name for case in CASES for name in case.contenders}
    if unknown := [name for name in options.only if name not in known]:
        parser.error(f"--only: no {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    if options.yardstick is not None and not (options.yardstick / "gateway.py").is_file():
        parser.error(f"--yardstick: no gateway.py in {options.yardstick}")
    if options.soak is None and SOAK in options.cases:
        options.soak = SOAK_REQUESTS
    if options.output is None and not options.quick:
        options.output = RESULTS
    return options


def wanted(
    options: argparse.Namespace, family: Contenders, name: str
) -> list[tuple[str, list[Case]]]:
    """The contenders of one family, each with the cases it takes."""
    found: dict[str, list[Case]] = {}
    for case in CASES:
        if case.family == name and case.name in options.cases:
            for contender in case.contenders:
                if contender in family and (not options.only or contender in options.only):
                    found.setdefault(contender, []).append(case)
    return list(found.items())


def rounds(options: argparse.Namespace, families: Mapping[str, Contenders]) -> list[Sample]:
    """Every contender in every case, round after round."""
    samples: list[Sample] = []
    for number in range(options.rounds):
        for family, members in families.items():
            plan = dict(wanted(options, members, family))
            for name in rotated(list(plan), number):
                for sample in one(options, members[name], plan[name], number):
                    samples.append(sample)
                    show(sample)
    return samples


def one(
    options: argparse.Namespace, contender: Contender | Loop, cases: Sequence[Case], number: int
) -> list[Sample]:
    """One contender in all its cases."""
    quiet = measure.Quiet(machine.cpus(), options.quiet, options.patience)
    if isinstance(contender, Loop):
        return [measure.loop(contender, case, number, options.seconds, quiet) for case in cases]
    with measure.started(contender) as running:
        return [measure.sample(running, case, number, options.seconds, quiet) for case in cases]


def show(sample: Sample) -> None:
    """Tell how far the run is."""
    line = (
        f"{sample.round + 1}  {sample.case:<11} {sample.contender:<15} {sample.rate:>9,.0f}/s"
        f"  p50 {sample.p50_ms:.3f} ms  p99 {sample.p99_ms:.3f} ms"
        f"  CPU {sample.cpu_ms:.4f} s/1,000  foreign {sample.foreign:.0%}"
    )
    print(line, file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> report.Run:
    """Measure all that *options* ask for."""
    cases = [case for case in CASES if case.name in options.cases]
    families: dict[str, Contenders] = {}
    if any(case.family == "digits" for case in cases) or options.soak:
        families["digits"] = contenders.digits(options.yardstick)
    if any(case.family == "images" for case in cases):
        families["images"] = contenders.images()
    samples = rounds(options, families)
    startup: list[float] = []
    if STARTUP in options.cases and (not options.only or "gateway" in options.only):
        for _ in range(options.rounds):
            measure.Quiet(machine.cpus(), options.quiet, options.patience).wait()
            startup.append(lifecycle.startup())
        print(f"startup {Spread.over(startup)}", file=sys.stderr, flush=True)
    soak: list[Soak] = []
    if options.soak:
        subject = families["digits"]["gateway"]
        if isinstance(subject, Contender):
            soak = lifecycle.soak(subject, options.soak)
    commit, modified = machine.commit()
    measured = {(sample.case.partition("-")[0], sample.contender) for sample in samples}
    abouts = {
        f"{name} ({family})": member.about
        for family, members in families.items()
        for name, member in members.items()
        if (family, name) in measured
    }
    return report.Run(
        date=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        commit=commit,
        modified=modified,
        machine=machine.facts(),
        rounds=options.rounds,
        seconds=options.seconds,
        quiet=options.quiet,
        contenders=abouts,
        samples=samples,
        startup=startup,
        soak=soak,
    )


def main(argv: Sequence[str]) -> int:
    """0: every target that was measured is met; 1: one is not; 2: nothing could be measured."""
    options = arguments(argv)
    # Ended from outside, a run still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        result = run(options)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    page = report.to_markdown(result)
    print(page)
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / f"{result.name}.md").write_text(page)
        (options.output / f"{result.name}.json").write_text(report.to_json(result))
    return 0 if all(verdict.met for verdict in result.verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
