# SPDX-License-Identifier: Apache-2.0
"""Simulate policies over a pool: ``python -m benchmarks.sim --endpoints 8 --slow 1``."""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence

from benchmarks.sim.report import table, to_json
from benchmarks.sim.scenario import Scenario
from benchmarks.sim.simulate import NAMES, simulate

# More than this would run for minutes without a word.
MOST_REQUESTS = 2_000_000
MOST_ENDPOINTS = 1000

ABOUT = {
    "endpoints": "workers, 2 to 1000",
    "slow": "how many of them are slow",
    "factor": "how many times slower those are",
    "load": "requests as a share of what the workers could do if none were slow",
    "seconds": "how long requests come, in virtual seconds",
    "run": "seconds of a run of one row",
    "fixed": "share of a run that does not depend on its rows",
    "spread": "sigma of the lognormal spread of runs; 0 for none",
    "hop": "seconds to a worker and back",
    "parallelism": "runs that a worker has at the same time",
    "cap": "requests that it is sent at the same time; 0: parallelism + 1",
    "max_rows": "rows of a batch; 1: no merging",
    "attempts": "attempts of a request",
    "retry_percent": "retries for each hundred requests",
    "retry_minimum": "retries a second that are allowed in any case",
    "failing": "how many workers fail all they get, from fails-from to fails-to",
    "fails_from": "when that begins, in seconds",
    "fails_to": "when it ends",
    "fail_time": "seconds that such a failure takes",
    "gateways": "gateway processes in front of the workers",
    "shared": "whether these count what is outstanding together",
    "skew": "share of the requests that the first of them gets; 0: an equal one",
    "timeout": "seconds after which a request is given up",
    "slo": "seconds within which an answer is good",
    "seed": "the same seed gives the same figures",
}

# Options by what holds for them, and the words for it.
BOUNDS: tuple[tuple[str, Callable[[float], bool], str], ...] = (
    (
        "factor load seconds run parallelism max_rows attempts gateways timeout slo",
        lambda value: value > 0,
        "more than 0",
    ),
    (
        "spread hop cap retry_percent retry_minimum fails_from fails_to fail_time",
        lambda value: value >= 0,
        "0 or more",
    ),
    ("fixed skew", lambda value: 0 <= value <= 1, "a share from 0 to 1"),
)


def arguments(given: Sequence[str]) -> tuple[Scenario, list[str], bool]:
    """The scenario, the policies, and whether JSON is wanted; ends the program on bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sim", description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    for field in dataclasses.fields(Scenario):
        option = f"--{field.name.replace('_', '-')}"
        about = ABOUT[field.name]
        if isinstance(field.default, bool):
            action = argparse.BooleanOptionalAction
            parser.add_argument(option, action=action, default=field.default, help=about)
        else:
            kind = type(field.default)
            parser.add_argument(option, type=kind, default=field.default, help=about)
    parser.add_argument(
        "--policies", default=",".join(NAMES), help="which, with commas between them"
    )
    parser.add_argument("--json", action="store_true", help="print JSON and no table")
    options = vars(parser.parse_args(given))
    policies = options.pop("policies").split(",")
    as_json = options.pop("json")
    scenario = Scenario(**options)
    for fault in faults(scenario, policies):
        parser.error(fault)
    return scenario, policies, as_json


def faults(scenario: Scenario, policies: Sequence[str]) -> list[str]:
    """What cannot be simulated, and what could."""
    found = []
    unknown = [name for name in policies if name not in NAMES]
    if unknown:
        found.append(f"--policies: unknown {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if not 2 <= scenario.endpoints <= MOST_ENDPOINTS:
        found.append(f"--endpoints: expected 2 to {MOST_ENDPOINTS}, got {scenario.endpoints}")
    found += [
        f"--{name}: expected 0 to {scenario.endpoints}, the number of endpoints"
        for name in ("slow", "failing")
        if not 0 <= getattr(scenario, name) <= scenario.endpoints
    ]
    for names, good, expected in BOUNDS:
        found += [
            f"--{name.replace('_', '-')}: expected {expected}"
            for name in names.split()
            if not good(getattr(scenario, name))
        ]
    if not found and scenario.rate * scenario.seconds > MOST_REQUESTS:
        count = int(scenario.rate * scenario.seconds)
        found.append(f"--seconds: that is {count} requests; at most {MOST_REQUESTS} are simulated")
    return found


def main(given: Sequence[str]) -> int:
    """Simulate each policy and print what came of it."""
    scenario, policies, as_json = arguments(given)
    outcomes = [simulate(scenario, name) for name in policies]
    if as_json:
        sys.stdout.write(to_json(scenario, outcomes))
        return 0
    print(f"{scenario.endpoints} workers, {scenario.slow} of them {scenario.factor:g} times slower;"
          f" {scenario.rate:.0f} requests/s for {scenario.seconds:g} s;"
          f" {scenario.gateways} gateway process{'es' * (scenario.gateways > 1)},"
          f" seed {scenario.seed}\n")  # fmt: skip
    print(table(outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
