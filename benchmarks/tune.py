# SPDX-License-Identifier: Apache-2.0
"""Whether `infergate tune` finds, in a quarter of the runs, what a full grid finds.

``.venv/bin/python -m benchmarks.tune`` measures every setting of a small grid, lets the search try
a quarter of as many from scratch, and measures the best of both again, in turns, for digits, a
convolutional model and breast cancer; then it prints a table. ``--window 2`` is more exact and
takes longer. Bounds of latency are loose, so that throughput tells settings apart even on a machine
that others use. Random numbers are seeded, times are those of this machine.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from benchmarks import machine, models
from gateway.lab.quantize.session import Session
from gateway.lab.search.slo import Slo
from gateway.lab.tune.command import Plan
from gateway.lab.tune.confirm import compare, interleaved, middle
from gateway.lab.tune.measured import Measured, Objective, Trial
from gateway.lab.tune.prepare import prepare
from gateway.lab.tune.search import Budget, Search

if TYPE_CHECKING:
    from gateway.lab.tune.setting import Setting

ROOT: Final = Path(__file__).parents[1]
# Of the grid: layouts of two cores, and rows of a batch.
ROWS: Final = (64, 1, 8, 32)
# Pictures are large, and a proof that is meant for hundreds of rows is not what is measured here.
PICTURES: Final = 60


class Case(msgspec.Struct, frozen=True):
    """A *model* with its *data*, and what is asked of it."""

    name: str
    model: str
    data: str
    slo: str
    margin: float
    precisions: tuple[str, ...] = ()
    protocol: str = "v2-json"
    concurrency: int = 32


def cases(directory: Path) -> list[Case]:
    """The three models; the convolutional one is made in *directory*."""
    convolutions = directory / "convolutions"
    models.build(convolutions)
    pictures = models.images(PICTURES)
    session = Session(convolutions / "1" / "model.onnx")
    truth = session._session.run(["label"], {"image": pictures})[0]  # noqa: SLF001 - its labels
    np.savez(directory / "convolutions.npz", image=pictures, labels=truth)
    home = ROOT / "models"
    return [
        Case(
            "convolutions", str(convolutions), str(directory / "convolutions.npz"), "p99=3s", 0.1,
            ("int8-static",), "v2-binary", 8,
        ),
        Case("digits", str(home / "digits"), str(home / "digits/test.npz"), "p99=1s", 0.01),
        Case(
            "breast-cancer", str(home / "breast-cancer"), str(home / "breast-cancer/test.npz"),
            "p99=1s", 0.01,
        ),
    ]  # fmt: skip


def measured(case: Case, directory: Path, window: float, rounds: int) -> list[str]:
    """The cells of the table for *case*."""
    began = monotonic()
    objective = Objective(slo=Slo.parse(case.slo))
    plan = Plan(
        slo=case.slo, margin=case.margin, precisions=case.precisions, protocol=case.protocol,  # type: ignore[arg-type]  # plain text here
        # One rate a setting is enough to tell settings apart; starting gateways takes the time.
        window=window, shares=(0.8,), concurrency=case.concurrency, cores=2,
        only=("layouts", "precision", "max_rows"),
    )  # fmt: skip
    made = prepare(
        case.model, plan, objective, data=case.data, config=None, home=directory,
        told=lambda what: print(f"{case.name}: {what}", flush=True),
    )  # fmt: skip
    # With another precision the grid doubles; large pictures hardly ever share a batch.
    rows = ROWS if not made.models else (64, 1, 8)
    space = msgspec.structs.replace(made.space, max_rows=rows)
    for precision, why in made.precisions.refusals.items():
        print(f"{case.name}: {precision} is out: {why}", flush=True)
    with made.bench as bench:
        grid = []
        for place, each in enumerate(space.grid()):
            grid.append(Trial(number=place, setting=each, measured=bench.measure(each)))
            print(f"  {each.name}: {grid[-1].measured.throughput:.0f}/s", flush=True)
        search = Search(space, made.start, objective)
        search.run(bench, Budget(trials=space.size // 4))
        best = max(grid, key=lambda one: one.measured.throughput).setting
        found_trial = search.best()
        found = made.start if found_trial is None else found_trial.setting
        again = interleaved(bench, list(dict.fromkeys([made.start, best, found])), rounds=rounds)
    ratio = compare(again[found], again[best])
    gain = compare(again[found], again[made.start])
    tried = [one.setting for one in search.trials]
    return [
        case.name, str(space.size), str(len(tried)), _rate(again, made.start),
        f"{best.name}: {_rate(again, best)}", f"{found.name}: {_rate(again, found)}",
        "the same setting" if best == found else str(ratio), str(gain),
        f"{monotonic() - began:.0f}",
    ]  # fmt: skip


def _rate(again: dict[Setting, list[Measured]], setting: Setting) -> str:
    return f"{middle(again[setting]).throughput:,.0f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--window", type=float, default=1.0, help="seconds at each rate")
    parser.add_argument("--rounds", type=int, default=4, help="turns of the best")
    parser.add_argument("--only", default="", help="one of the models")
    options = parser.parse_args()
    heads = (
        "model", "grid", "tried", "now, requests/s", "best of the grid", "found",
        "found / best of the grid", "found / now", "seconds",
    )  # fmt: skip
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for case in cases(Path(temporary)):
            if options.only in {"", case.name}:
                rows.append(measured(case, Path(temporary), options.window, options.rounds))
                print(" | ".join(rows[-1]), flush=True)
    print()
    for name, value in machine.facts().items():
        print(f"- {name}: {value}")
    print()
    print("| " + " | ".join(heads) + " |")
    print("|" + " --- |" * len(heads))
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
