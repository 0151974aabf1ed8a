# SPDX-License-Identifier: Apache-2.0
"""Show: a quantised model for people, in a terminal."""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.lab.gate import Verdict
    from gateway.lab.quantize.make import Quantised

# So many of the noisiest groups of operators are shown; the JSON has all.
_NOISIEST: Final = 8


def show(made: Quantised, console: Console) -> None:
    """Print *made*."""

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    recipe = made.recipe
    words: list[str] = [recipe.precision]
    if recipe.precision.startswith("int8"):
        words += ["per channel" if recipe.per_channel else "per tensor"]
        words += ["weights of 7 bits"] if recipe.reduce_range else []
    if made.calibrated and recipe.precision in {"int8-static", "int8-mixed"}:
        words.append(f"{recipe.ranges} ranges of {made.calibrated} rows")
    if recipe.in_float:
        words.append(f"{len(recipe.in_float)} of {made.multipliers} operators in floats")
    say(f"{made.model}: {', '.join(words)}; on {made.cpu}")
    console.print(_table(made))
    for note in made.notes:
        say(f"note: {note}")
    if made.noises:
        console.print(_noises(made))
    if made.verdict is None:
        say("not judged: give --data FILE.npz, best with labels")
    else:
        say(f"{made.verdict.outcome}: {made.verdict.sentence}")
        _classes(made.verdict, console)


def _table(made: Quantised) -> Table:
    table = Table("", "before", "after", "", box=SIMPLE_HEAD)
    share = made.bytes_after / made.bytes_before
    table.add_row("bytes", f"{made.bytes_before:,}", f"{made.bytes_after:,}", f"{share:.2f} x")
    if made.seconds_before is not None and made.seconds_after is not None and made.speed:
        before, after = made.seconds_before * 1e6, made.seconds_after * 1e6
        table.add_row("µs a row", f"{before:.2f}", f"{after:.2f}", f"{made.speed:.2f} x as quick")
    near, verdict = made.closeness, made.verdict
    if verdict is not None and verdict.before is not None and verdict.after is not None:
        table.add_row("accuracy", f"{verdict.before:.4f}", f"{verdict.after:.4f}", "")
    if near is not None:
        noise = "no difference" if isinf(near.sqnr_db) else f"{near.sqnr_db:.1f} dB"
        table.add_row("SQNR of outputs", "", noise, f"{near.rows} rows")
        table.add_row("cosine of outputs", "", f"{near.cosine:.6f}", "")
        table.add_row("same prediction", "", f"{near.agreement:.2%}", "")
    if verdict is not None and verdict.calibration is not None:
        change = verdict.calibration
        table.add_row("calibration error", f"{change.before:.4f}", f"{change.after:.4f}", "")
    return table


def _noises(made: Quantised) -> Table:
    table = Table("operators, alone in bytes", "SQNR dB", "same", "kept", box=SIMPLE_HEAD)
    kept = set(made.recipe.in_float)
    for one in made.noises[:_NOISIEST]:
        name = one.operators[0] + (f" … {one.operators[-1]}" if len(one.operators) > 1 else "")
        noise = "inf" if isinf(one.sqnr_db) else f"{one.sqnr_db:.1f}"
        where = "float" if kept & set(one.operators) else "bytes"
        table.add_row(name, noise, f"{one.agreement:.2%}", where)
    return table


def _classes(verdict: Verdict, console: Console) -> None:
    changed = [one for one in verdict.classes if one.lost or one.won]
    if not changed:
        return
    table = Table("class", "rows", "recall", "after", "lost", "won", box=SIMPLE_HEAD)
    for one in sorted(changed, key=lambda each: each.after - each.before):
        table.add_row(str(one.label), str(one.rows), f"{one.before:.3f}", f"{one.after:.3f}",
                      str(one.lost), str(one.won))  # fmt: skip
    console.print(table)
