# SPDX-License-Identifier: Apache-2.0
"""``infergate quantize``: write a model in another precision, unless it is shown to be worse."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Literal

from rich.console import Console

from gateway.lab import LabError
from gateway.lab.quantize.make import Bench, Quantised
from gateway.lab.quantize.recipe import CALIBRATED, PRECISIONS, RANGES, Recipe
from gateway.lab.quantize.rows import read
from gateway.lab.quantize.session import Session
from gateway.lab.quantize.show import show
from gateway.lab.quantize.source import LABELS_FILE, MODEL_FILE, find

if TYPE_CHECKING:
    from gateway.lab.quantize.recipe import Precision, Ranges
    from gateway.lab.quantize.source import Source

REPORT_FILE: Final = "quantization.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """How to quantise: what `run` says of its arguments."""

    precision: Precision | Literal["auto"] = "auto"
    ranges: Ranges = "minmax"
    per_channel: bool = True
    batch: int = 32
    margin: float = 0.01
    alpha: float = 0.05
    scores: str | None = None
    output_name: str | None = None
    force: bool = False

    def check(self) -> None:
        """Raise LabError for what cannot be."""
        if self.precision not in {*PRECISIONS[1:], "auto"}:
            raise LabError(
                f"precision '{self.precision}': expected auto or one of {', '.join(PRECISIONS[1:])}"
            )
        if self.ranges not in RANGES:
            raise LabError(f"ranges '{self.ranges}': expected one of {', '.join(RANGES)}")
        if self.batch < 1:
            raise LabError(f"batch {self.batch}: expected 1 or more rows")
        for name in ("margin", "alpha"):
            if not 0 < getattr(self, name) < 1:
                raise LabError(f"{name} {getattr(self, name):g}: expected a share, such as 0.01")


def run(
    model: str,
    *,
    output: str | None = None,
    data: str | None = None,
    json: str | None = None,
    **plan: Any,  # noqa: ANN401 - the fields of Plan
) -> int:
    """Write *model* anew into the repository directory *output*, and print what that changes.

    *output* is by default the model's directory with the precision behind its name. *data* is an
    ``.npz`` file: rows, and labels where there are some. *json* is a file for the result. *plan*
    has the fields of `Plan`: precision "auto" is static bytes with data and dynamic ones without;
    with *force* a model that the gate refuses is written too. Returns 0; 1 where the gate refuses;
    or 2 after one line on stderr where something cannot be used.
    """
    try:
        chosen = Plan(**plan)
        chosen.check()
        return _quantize(find(model), chosen, output=output, data=data, json=json)
    except LabError as error:
        print(f"infergate quantize: {error}", file=sys.stderr)
        return 2


def _quantize(
    source: Source, plan: Plan, *, output: str | None, data: str | None, json: str | None
) -> int:
    precision = _precision(plan, source, data)
    # Beside the model's own directory, or beside its bare file.
    home = source.file.with_suffix("") if source.bare else source.file.parent.parent
    directory = Path(output or f"{home}-{precision}")
    place = directory / "1"
    if place.exists():
        raise LabError(f"{place}: is there already; name another directory with -o")
    recipe = Recipe(precision=precision, ranges=plan.ranges, per_channel=plan.per_channel)
    why = source.why_not(precision)
    if why is not None:
        raise LabError(f"{source.file}: {why}")
    console = Console(stderr=True)
    with TemporaryDirectory(prefix="infergate-quantize-") as temporary:
        session = Session(source.file)
        rows = None
        if data is not None:
            rows = read(
                data, session.inputs, batch=plan.batch, calibrates=precision in CALIBRATED
            )  # fmt: skip
        bench = Bench.of(source, Path(temporary), rows=rows, session=session,
                         output=plan.output_name, scores=plan.scores)  # fmt: skip
        made_file = Path(temporary) / MODEL_FILE
        with console.status(f"{source.name} as {precision}") as status:
            made = bench.make(
                recipe, made_file, margin=plan.margin, alpha=plan.alpha,
                done=lambda at, of: status.update(f"{source.name}: operators {at} of {of}"),
            )  # fmt: skip
        refused = made.verdict is not None and not made.verdict.passed
        if not refused or plan.force:
            _write(made, made_file, place, source)
    _report(json, made)
    show(made, Console())
    if not refused or plan.force:
        print(f"written: {place / MODEL_FILE}")
    if not refused:
        return 0
    print(
        f"infergate quantize: {source.name} as {precision} is refused by the accuracy gate "
        f"({made.verdict.outcome if made.verdict else ''})",
        file=sys.stderr,
    )
    return 1


def _precision(plan: Plan, source: Source, data: str | None) -> Precision:
    if plan.precision != "auto":
        return plan.precision
    # Dynamic ranges suit recurrent networks and transformers, static ones convolutions.
    return "int8-dynamic" if data is None or "LSTM" in source.kinds else "int8-static"


def _write(made: Quantised, file: Path, place: Path, source: Source) -> None:
    """The layout of a model repository: DIRECTORY/1/model.onnx, labels, and what was found."""
    try:
        place.mkdir(parents=True)
        for beside in sorted(file.parent.glob(f"{MODEL_FILE}*")):
            shutil.copyfile(beside, place / beside.name)
        for labels in (source.file.parent / LABELS_FILE, source.file.parent.parent / LABELS_FILE):
            if labels.is_file():
                shutil.copyfile(labels, place / LABELS_FILE)
                break
        (place / REPORT_FILE).write_bytes(made.json())
    except OSError as error:
        raise LabError(f"{error.filename or place}: {error.strerror}") from None


def _report(path: str | None, made: Quantised) -> None:
    if path is None:
        return
    try:
        Path(path).write_bytes(made.json())
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from None
