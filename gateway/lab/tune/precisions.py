# SPDX-License-Identifier: Apache-2.0
"""Precisions: the model in fewer bits, made once, and which of them are worth a try.

One that the accuracy gate refuses is no part of the search, nor one that is slower than the model
as it is: with threads, batches and a gateway around it, it stays so.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.lab import LabError
from gateway.lab.quantize.command import REPORT_FILE
from gateway.lab.quantize.make import Bench, Quantised
from gateway.lab.quantize.recipe import Recipe
from gateway.lab.quantize.source import LABELS_FILE, MODEL_FILE

if TYPE_CHECKING:
    from gateway.lab.quantize.recipe import Precision
    from gateway.lab.quantize.rows import Rows
    from gateway.lab.quantize.session import Session
    from gateway.lab.quantize.source import Source

# One that takes this much longer a row, alone, is no gain anywhere. Below it times are noise.
_SLOWER: Final = 1.1


@dataclass(frozen=True, slots=True)
class Precisions:
    """*models* has the directory of each precision to try, *refusals* why the others are out.

    *made* says what is known of each that could be made.
    """

    models: dict[str, str] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    made: dict[str, Quantised] = field(default_factory=dict)


def precisions(
    source: Source, session: Session, rows: Rows, wanted: Sequence[Precision], *,
    directory: Path, margin: float, alpha: float, output: str | None = None,
    told: Callable[[str], None] | None = None,
) -> Precisions:  # fmt: skip
    """Make *source* in each of *wanted*, as repository directories within *directory*.

    Every one is judged at *alpha* divided by the number of those that there can be. What is there
    of a search before is used again.
    """
    found = Precisions()
    possible = sum(source.why_not(one) is None for one in wanted)
    with TemporaryDirectory(prefix="infergate-tune-") as temporary:
        bench = Bench.of(source, Path(temporary), rows=rows, session=session, output=output)
        for precision in wanted:
            why = source.why_not(precision)
            if why is not None:
                found.refusals[precision] = f"{why}."
                continue
            if told is not None:
                told(precision)
            place = directory / f"{source.name}-{precision}"
            try:
                made = _known(place) or _make(
                    bench, precision, place, source, margin=margin, alpha=alpha / possible
                )
            except LabError as error:
                found.refusals[precision] = f"{error}."
                continue
            found.made[precision] = made
            out = _out(made)
            if out is None:
                found.models[precision] = str(place)
            else:
                found.refusals[precision] = out
    return found


def _make(
    bench: Bench, precision: Precision, place: Path, source: Source, *, margin: float, alpha: float
) -> Quantised:
    version = place / "1"
    version.mkdir(parents=True, exist_ok=True)
    made = bench.make(
        Recipe(precision=precision), version / MODEL_FILE, margin=margin, alpha=alpha
    )  # fmt: skip
    for labels in (source.file.parent / LABELS_FILE, source.file.parent.parent / LABELS_FILE):
        if labels.is_file():
            shutil.copyfile(labels, version / LABELS_FILE)
            break
    # Last: a directory with it is a whole one.
    (version / REPORT_FILE).write_bytes(msgspec.json.encode(made))
    return made


def _known(place: Path) -> Quantised | None:
    try:
        return msgspec.json.decode((place / "1" / REPORT_FILE).read_bytes(), type=Quantised)
    except (OSError, msgspec.MsgspecError):
        return None


def _out(made: Quantised) -> str | None:
    """Why it is no part of the search, or None."""
    if made.verdict is not None and not made.verdict.passed:
        return made.verdict.sentence
    if made.recipe.precision == "int8-mixed" and not made.recipe.in_float:
        return "no operator is sensitive, so that it is int8-static."
    if made.multipliers and len(made.recipe.in_float) >= made.multipliers:
        return "every operator had to stay in floats."
    if made.speed is not None and made.speed * _SLOWER < 1:
        return f"a row takes {1 / made.speed:.2f} times as long as in the model as it is."
    return None
