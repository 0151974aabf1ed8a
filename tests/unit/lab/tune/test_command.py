# SPDX-License-Identifier: Apache-2.0
"""`infergate tune`: what it refuses, and what an interrupt leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.lab.quantize.rows import Rows, read
from gateway.lab.quantize.session import Session
from gateway.lab.quantize.source import find
from gateway.lab.tune.command import Plan, explore, run
from gateway.lab.tune.measured import Measured, Report
from gateway.lab.tune.precisions import precisions
from gateway.lab.tune.prepare import MOST_JUDGED, judging
from gateway.lab.tune.progress import Progress
from gateway.lab.tune.search import Search
from gateway.lab.tune.setting import Setting, Space
from tests.support import fragile
from tests.support.tree import ROOT
from tests.support.tuning import OBJECTIVE, MadeUpBench

DIGITS = str(ROOT / "models/digits")
DATA = str(ROOT / "models/digits/test.npz")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slo": "20ms"}, "SLO '20ms': expected name=value"),
        ({"model": "missing"}, "missing: no such file"),
        ({"data": "missing.npz"}, "missing.npz: no such file"),
        ({"config": "missing.yaml"}, "missing.yaml: cannot be read"),
        ({"trials": 0}, "trials 0: expected 1 or more"),
        ({"rounds": 1}, "rounds 1: expected 2 or more"),
        ({"margin": 0.0}, "margin 0: expected a share"),
        ({"window": 0.0}, "window 0 s: expected"),
        ({"repeat": 2.0}, "repeat 2: expected a share"),
        ({"only": ("colour",)}, "no setting 'colour' to search; there are: layouts, precision"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    message: str,
) -> None:
    """Before anything is started."""
    given = {"model": DIGITS, "data": DATA, "slo": "p99=20ms", "precisions": ()} | options
    code = run(**given, output=str(tmp_path / "t.yaml"))

    err = capsys.readouterr().err
    assert code == 2
    assert err.startswith("infergate tune: ")
    assert message in err
    assert err.count("\n") == 1


class _Impatient(MadeUpBench):
    """Somebody presses Ctrl-C at the third try."""

    def measure(self, setting: Setting, report: Report | None = None) -> Measured:
        """As before, twice."""
        if len(self.tried) == 2:
            raise KeyboardInterrupt
        return super().measure(setting, report)


def test_an_interrupt_keeps_what_was_measured() -> None:
    """There is no choice, but two trials."""
    search = Search(Space.on(2), Setting(), OBJECTIVE)

    with Progress(9) as progress:
        found = explore(search, _Impatient(), Plan(slo=""), OBJECTIVE, progress)

    assert len(found.trials) == 2
    assert found.choice is None


def test_a_search_ends_with_a_choice() -> None:
    """Search and confirmation together, on a machine of formulas."""
    search = Search(Space.on(2), Setting(), OBJECTIVE)
    bench = MadeUpBench(noise=0.01)

    with Progress(16) as progress:
        found = explore(search, bench, Plan(slo="", trials=16), OBJECTIVE, progress)

    assert found.choice is not None
    assert found.choice.setting == Setting(replicas=2)
    assert found.choice.gain.lower > 1.5


def _rows(data: str, model: str) -> tuple[Session, Rows]:
    session = Session(find(model).file)
    return session, read(data, session.inputs, batch=8, calibrates=True)


def test_a_precision_that_harms_the_model_is_no_part_of_the_search(tmp_path: Path) -> None:
    """The gate refuses it by its own words before anything is timed under load."""
    place, data = fragile.write(tmp_path)
    session, rows = _rows(str(data), str(place))

    made = precisions(
        find(str(place)), session, rows, ("int8-static", "int8-mixed"),
        directory=tmp_path, margin=0.01, alpha=0.05,
    )  # fmt: skip

    assert made.models == {}
    assert "are lost" in made.refusals["int8-static"]
    assert made.refusals["int8-mixed"] == "every operator had to stay in floats."


def test_what_was_made_before_is_used_again(tmp_path: Path) -> None:
    """A search that goes on does not quantise anew."""
    session, rows = _rows(DATA, DIGITS)

    def made() -> int:
        precisions(
            find(DIGITS), session, rows, ("int8-dynamic",),
            directory=tmp_path, margin=0.02, alpha=0.05,
        )  # fmt: skip
        return (tmp_path / "digits-int8-dynamic/1/model.onnx").stat().st_mtime_ns

    assert made() == made()


def test_trees_keep_their_precision(tmp_path: Path) -> None:
    """That is no fault: everything else is searched."""
    model = str(ROOT / "models/breast-cancer")
    session, rows = _rows(str(ROOT / "models/breast-cancer/test.npz"), model)

    made = precisions(
        find(model), session, rows, ("int8-static",), directory=tmp_path, margin=0.01, alpha=0.05
    )

    assert made.models == {}
    assert "an ensemble of trees" in made.refusals["int8-static"]


def test_so_many_rows_judge_and_no_more(tmp_path: Path) -> None:
    """In every trial, whatever the size of the set."""
    data = tmp_path / "large.npz"
    np.savez(data, image=np.zeros((9000, 64), np.float32), labels=np.zeros(9000, int))
    session = Session(find(DIGITS).file)

    dataset = judging(read(str(data), session.inputs, batch=8, calibrates=False))

    assert len(dataset) == MOST_JUDGED
    assert len(dataset.inputs["image"]) == MOST_JUDGED
