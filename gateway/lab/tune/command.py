# SPDX-License-Identifier: Apache-2.0
"""``infergate tune``: find the best settings of a model by measurement, and say why."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from gateway.lab import LabError
from gateway.lab.search.slo import Slo
from gateway.lab.tune.confirm import Choice, confirm
from gateway.lab.tune.gateway_bench import SHARES
from gateway.lab.tune.measured import Bench, Measured, Objective, Trial
from gateway.lab.tune.page import page
from gateway.lab.tune.pareto import points
from gateway.lab.tune.prepare import Prepared, about, machine, prepare
from gateway.lab.tune.progress import Progress
from gateway.lab.tune.reasons import reasons
from gateway.lab.tune.result import Tuning
from gateway.lab.tune.search import Budget, Search
from gateway.lab.tune.setting import Setting, Space
from gateway.lab.tune.show import show

if TYPE_CHECKING:
    from gateway.lab.load.run import Protocol
    from gateway.lab.quantize.recipe import Precision

JOURNAL_FILE: Final = "journal.log"
_INTERRUPTED: Final = 130
# Dimensions that a user may leave out, by the names of the settings.
DIMENSIONS: Final = tuple(name for name in Space.__struct_fields__)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to tune: what `run` says of its arguments."""

    slo: str
    margin: float = 0.005
    alpha: float = 0.05
    trials: int = 40
    seconds: float = 900.0
    rounds: int = 5
    finalists: int = 3
    window: float = 2.0
    concurrency: int = 32
    batch: int = 1
    protocol: Protocol = "v2-json"
    repeat: float = 0.0
    cores: int = 0
    memory: int | None = None
    precisions: tuple[Precision, ...] = ("fp16", "int8-dynamic", "int8-static", "int8-mixed")
    only: tuple[str, ...] = ()
    output_name: str | None = None
    seed: int = 1
    # Of the capacity, offered in turn.
    shares: tuple[float, ...] = SHARES

    def check(self) -> None:
        """Raise LabError for what cannot be."""
        for name in ("trials", "rounds", "finalists", "concurrency", "batch"):
            least = 2 if name == "rounds" else 1
            if getattr(self, name) < least:
                raise LabError(f"{name} {getattr(self, name)}: expected {least} or more")
        for name in ("margin", "alpha"):
            if not 0 < getattr(self, name) < 1:
                raise LabError(f"{name} {getattr(self, name):g}: expected a share, such as 0.005")
        if self.window < 0.1 or self.seconds <= 0:
            raise LabError(f"window {self.window:g} s: expected 0.1 s or more, and time to search")
        if not 0 <= self.repeat <= 1:
            raise LabError(f"repeat {self.repeat:g}: expected a share from 0 to 1")
        strangers = set(self.only) - set(DIMENSIONS)
        if strangers:
            raise LabError(
                f"no setting '{min(strangers)}' to search; there are: {', '.join(DIMENSIONS)}"
            )


@dataclass(frozen=True, slots=True)
class Found:
    """All *trials*, and the *choice* among them, None where it was interrupted before."""

    trials: list[Trial]
    choice: Choice | None


def run(
    model: str,
    *,
    data: str,
    config: str | None = None,
    output: str | None = None,
    json: str | None = None,
    report: str | None = None,
    **plan: Any,  # noqa: ANN401 - the fields of Plan
) -> int:
    """Search the settings of *model*, a directory or file, or the name of one in *config*.

    *data* is an ``.npz`` file with inputs and labels. *output* is the configuration to write; what
    a search keeps lies beside it, in a directory of its name with ``.tune``, and a search goes on
    from there. *json* and *report* (HTML) are files for the result. *plan* has the fields of
    `Plan`. Returns 0; 1 where no setting keeps the SLO; 2 after one line on stderr where something
    cannot be used; 130 after an interrupt, which keeps what was measured.
    """
    try:
        chosen = Plan(**plan)
        chosen.check()
        return _tune(model, chosen, data=data, config=config, output=output,
                     json=json, report=report)  # fmt: skip
    except LabError as error:
        print(f"infergate tune: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("infergate tune: interrupted", file=sys.stderr)
        return _INTERRUPTED


def _tune(
    model: str, plan: Plan, *, data: str, config: str | None, output: str | None,
    json: str | None, report: str | None,
) -> int:  # fmt: skip
    objective = Objective(slo=Slo.parse(plan.slo), memory=plan.memory)
    home = _home(model, output, named=config is not None)
    began = monotonic()
    with Progress(plan.trials) as progress:
        made = prepare(model, plan, objective, data=data, config=config, home=home,
                       told=progress.say)  # fmt: skip
        with made.bench as bench:
            search = Search(
                made.space, made.start, objective,
                journal=home / JOURNAL_FILE, seed=plan.seed,
                about=about(made, plan, data, objective),
            )  # fmt: skip
            found = explore(search, bench, plan, objective, progress)
    tuning = _result(made, plan, objective, found, search.space, seconds=monotonic() - began)
    show(tuning, Console())
    _write(tuning, made, objective, output=output, json=json, report=report)
    if found.choice is None:
        print(
            f"infergate tune: interrupted after {len(found.trials)} trials; the same command "
            "goes on",
            file=sys.stderr,
        )
        return _INTERRUPTED
    if not found.choice.after.feasible(objective):
        print(f"infergate tune: no setting keeps {objective.slo}", file=sys.stderr)
        return 1
    return 0


def explore(
    search: Search, bench: Bench, plan: Plan, objective: Objective, progress: Progress
) -> Found:
    """Search, then confirm; an interrupt ends that with what there is."""
    for each in search.trials:
        progress.tried(each, objective)
    try:
        search.run(
            bench,
            Budget(trials=plan.trials, seconds=plan.seconds),
            lambda trial: progress.tried(trial, objective),
        )
        choice = confirm(
            bench, search.start, search.trials, objective,
            most=plan.finalists, rounds=plan.rounds, done=progress.confirmed,
        )  # fmt: skip
    except KeyboardInterrupt:
        return Found(search.trials, None)
    return Found(search.trials, choice)


def _result(
    made: Prepared, plan: Plan, objective: Objective, found: Found, space: Space, *, seconds: float
) -> Tuning:  # fmt: skip
    choice = found.choice
    confirmed: dict[Setting, Measured] = {}
    best, changed = made.start, False
    said = [f"{len(found.trials)} settings were tried; none was measured twice yet."]
    if choice is not None:
        confirmed = {choice.start: choice.before, choice.setting: choice.after}
        best, changed = choice.setting, choice.changed
        said = reasons(choice, found.trials, objective, made.precisions.refusals)
    return Tuning(
        model=made.document.model,
        slo=str(objective.slo),
        max_accuracy_drop=plan.margin,
        machine=machine(),
        space=space,
        settings=space.size,
        start=made.start,
        trials=found.trials,
        choice=choice,
        points=points(found.trials, objective, best, confirmed),
        reasons=said,
        difference=made.document.difference(best, made.models.get(best.precision))
        if changed
        else "",
        quantised=made.precisions.made,
        refusals=made.precisions.refusals,
        seconds=seconds,
        complete=choice is not None,
    )


def _home(model: str, output: str | None, *, named: bool) -> Path:
    """Where a search keeps its journal and its models: beside what it writes."""
    name = model if named else Path(model).resolve().name.removesuffix(".onnx")
    home = Path(f"{name}.tune") if output is None else Path(output).with_suffix(".tune")
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"{home}: {error.strerror}") from None
    return home


def _write(
    tuning: Tuning, made: Prepared, objective: Objective, *,
    output: str | None, json: str | None, report: str | None,
) -> None:  # fmt: skip
    files: dict[str, bytes] = {}
    if json is not None:
        files[json] = tuning.json()
    if output is not None and tuning.choice is not None:
        setting = tuning.choice.setting
        text = made.document.text(setting, made.models.get(setting.precision))
        head = "".join(f"# {line}\n" for line in tuning.reasons)
        files[output] = (head + text).encode()
    if report is not None:
        files[report] = page(tuning, objective).encode()
    for path, content in files.items():
        try:
            Path(path).write_bytes(content)
        except OSError as error:
            raise LabError(f"{path}: {error.strerror}") from None
