# SPDX-License-Identifier: Apache-2.0
"""`infergate quantize` from the model to the directory, or to a refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from gateway.lab.quantize import make
from gateway.lab.quantize.command import run
from gateway.lab.quantize.cpu import Cpu
from gateway.lab.quantize.session import Session
from tests.support import fragile, models
from tests.support.tree import ROOT

DIGITS = str(ROOT / "models/digits")
DATA = str(ROOT / "models/digits/test.npz")


@pytest.fixture(autouse=True)
def _brief_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are not what is tested here."""
    monkeypatch.setattr("gateway.lab.quantize.session.ROUNDS", 1)
    monkeypatch.setattr("gateway.lab.quantize.session.ROUND_SECONDS", 0.0)


def _quantize(tmp_path: Path, model: str = DIGITS, **options: Any) -> tuple[int, dict[str, Any]]:
    report = tmp_path / "report.json"
    code = run(model, output=str(tmp_path / "made"), json=str(report), **options)
    return code, json.loads(report.read_bytes()) if report.exists() else {}


@pytest.mark.parametrize("precision", ["fp16", "int8-dynamic", "int8-static", "int8-mixed"])
def test_digits_keep_their_answers_in_every_precision(tmp_path: Path, precision: str) -> None:
    """The directory is one that a worker serves, smaller, and nearly as exact."""
    code, report = _quantize(tmp_path, data=DATA, precision=precision)

    made = tmp_path / "made" / "1"
    assert code == 0
    assert sorted(each.name for each in made.iterdir()) == [
        "labels.txt", "model.onnx", "quantization.json",
    ]  # fmt: skip
    assert report["recipe"]["precision"] == precision
    assert report["bytes_after"] == (made / "model.onnx").stat().st_size
    assert report["bytes_after"] < 0.6 * report["bytes_before"]
    assert report["closeness"]["sqnr_db"] > 30
    assert report["closeness"]["cosine"] > 0.999
    assert report["verdict"]["outcome"] == "proven"
    assert report["seconds_after"] > 0
    session = Session(made / "model.onnx")
    assert [one.name for one in session.inputs] == ["image"]
    assert [one.name for one in session.outputs] == ["label", "probabilities"]


def test_static_bytes_are_qdq_with_signed_weights_by_channel(tmp_path: Path) -> None:
    """S8S8: zero points of int8 on both sides, a scale for each column of weights."""
    code, _ = _quantize(tmp_path, data=DATA, precision="int8-static")

    graph = onnx.load(str(tmp_path / "made/1/model.onnx")).graph
    kinds = {node.op_type for node in graph.node}
    types = {each.data_type for each in graph.initializer if each.name.endswith("zero_point")}
    scales = [list(one.dims) for one in graph.initializer if "scale" in one.name]
    assert code == 0
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert not kinds & {"QLinearMatMul", "QGemm"}
    assert types <= {onnx.TensorProto.INT8, onnx.TensorProto.INT32}
    assert any(dims and dims[0] > 1 for dims in scales)


@pytest.mark.parametrize("ranges", ["entropy", "percentile"])
def test_ranges_may_leave_outliers_out(
    tmp_path: Path, ranges: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other ways to calibrate make other models, as good on digits; their tools stay quiet."""
    code, report = _quantize(tmp_path, data=DATA, precision="int8-static", ranges=ranges)

    assert code == 0
    assert report["recipe"]["ranges"] == ranges
    assert report["closeness"]["sqnr_db"] > 15
    assert "Collecting" not in capsys.readouterr().out


def test_rows_that_calibrate_do_not_judge(tmp_path: Path) -> None:
    """A quarter of a small set is put aside; of dynamic bytes nothing is."""
    for name in "ab":
        (tmp_path / name).mkdir()
    _, static = _quantize(tmp_path / "a", data=DATA, precision="int8-static")
    _, dynamic = _quantize(tmp_path / "b", data=DATA, precision="int8-dynamic")

    assert static["calibrated"] + static["verdict"]["rows"] == 450
    assert static["calibrated"] == 112
    assert dynamic["verdict"]["rows"] == 450


def test_a_model_that_bytes_harm_is_refused_and_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gate finds what it does to the classes, and the exit code says no."""
    place, data = fragile.write(tmp_path)

    code, report = _quantize(tmp_path, str(place), data=str(data), precision="int8-static")

    assert code == 1
    assert not (tmp_path / "made").exists()
    assert report["verdict"]["outcome"] == "harmed"
    assert report["verdict"]["before"] > 0.98
    assert report["verdict"]["after"] < 0.6
    assert "refused by the accuracy gate (harmed)" in capsys.readouterr().err


def test_a_sensitive_operator_stays_in_floats(tmp_path: Path) -> None:
    """Of the fragile model that is all there is, which the result says."""
    place, data = fragile.write(tmp_path)

    code, report = _quantize(tmp_path, str(place), data=str(data), precision="int8-mixed")

    assert code == 0
    assert report["noises"][0]["agreement"] < 0.9
    assert len(report["recipe"]["in_float"]) == report["multipliers"] == 1
    assert "nothing was quantised" in " ".join(report["notes"])
    assert report["verdict"]["lost"] == 0


def test_force_writes_what_the_gate_refuses(tmp_path: Path) -> None:
    """And still answers no."""
    place, data = fragile.write(tmp_path)

    code, _ = _quantize(tmp_path, str(place), data=str(data), precision="int8-static", force=True)

    assert code == 1
    assert (tmp_path / "made/1/model.onnx").is_file()


def test_a_set_that_is_too_small_refuses_and_says_what_it_would_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a point cannot be shown on 338 rows."""
    code, report = _quantize(tmp_path, data=DATA, precision="int8-static", margin=0.005)

    assert code == 1
    assert report["verdict"]["outcome"] == "not proven"
    assert report["verdict"]["rows_needed"] == 598
    assert "(not proven)" in capsys.readouterr().err


def test_data_without_labels_judge_by_agreement(tmp_path: Path) -> None:
    """A bound on differing rows needs no labels."""
    data = tmp_path / "rows.npz"
    np.savez(data, image=np.load(DATA)["inputs"])

    code, report = _quantize(tmp_path, data=str(data), precision="int8-static")

    assert code == 0
    assert report["verdict"]["rows"] == 0
    assert report["verdict"]["unlabelled"] == 338


def test_without_data_nothing_is_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Dynamic bytes need none; that nobody has looked at the answers is said."""
    code, report = _quantize(tmp_path)

    assert code == 0
    assert report["recipe"]["precision"] == "int8-dynamic"
    assert report["verdict"] is None
    assert "not judged" in capsys.readouterr().out


def test_an_old_processor_gets_weights_of_seven_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sums of bytes would overflow."""
    monkeypatch.setattr(make, "this_cpu", lambda: Cpu("old", bytes_exact=False, halves=False))

    _, report = _quantize(tmp_path, data=DATA, precision="int8-static")

    weights = [
        onnx.numpy_helper.to_array(each)
        for each in onnx.load(str(tmp_path / "made/1/model.onnx")).graph.initializer
        if each.data_type == onnx.TensorProto.INT8 and len(each.dims) == 2
    ]
    assert report["recipe"]["reduce_range"] is True
    assert weights
    assert all(np.abs(each.astype(int)).max() <= 64 for each in weights)


def test_trees_have_nothing_to_quantise(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said what they are."""
    code = run(str(ROOT / "models/breast-cancer"))

    assert code == 2
    assert "an ensemble of trees (TreeEnsembleClassifier) compares" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("missing", {}, "missing: no such file; give MODEL"),
        (DIGITS, {"precision": "int4"}, "precision 'int4': expected auto or one of fp16, int8"),
        (DIGITS, {"precision": "int8-static"}, "is calibrated by rows; give --data"),
        (DIGITS, {"data": "missing.npz"}, "missing.npz: no such file"),
        (DIGITS, {"margin": 2.0}, "margin 2: expected a share"),
        (DIGITS, {"ranges": "wide"}, "ranges 'wide': expected one of minmax"),
        (DIGITS, {"batch": 0}, "batch 0: expected 1 or more"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    options: dict[str, Any],
    message: str,
) -> None:
    """It says what was wrong and what would be right."""
    code = run(model, output=str(tmp_path / "made"), **options)

    err = capsys.readouterr().err
    assert code == 2
    assert err.startswith("infergate quantize: ")
    assert message in err
    assert err.count("\n") == 1


def test_what_is_there_is_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A version in use must not change under a worker."""
    assert _quantize(tmp_path)[0] == 0
    assert _quantize(tmp_path)[0] == 2
    assert "is there already; name another directory with -o" in capsys.readouterr().err


def test_what_is_quantised_already_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rounding twice gains nothing."""
    place = models.save(models.dynamically_quantised(), tmp_path / "q")

    assert _quantize(tmp_path, str(place))[0] == 2
    assert "it is quantised already (DequantizeLinear, Dynamic" in capsys.readouterr().err
