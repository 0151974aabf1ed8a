# SPDX-License-Identifier: Apache-2.0
"""`infergate fit-preprocess`: from a file of training data to a file of statistics."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gateway.cli import main
from gateway.lab import LabError
from gateway.lab.training_data import read_training_data
from gateway.steps.table.statistics import Statistics
from gateway.wire.model import Column
from gateway.wire.null import NULL, NULL_TEXT

SPEC = """
columns:
  age: {null: keep}
  kids: {type: INT64}
  job: {type: BYTES, null: keep}
  old: {type: BOOL}
operations:
  - impute: {columns: [age], strategy: mean}
  - standard: {columns: [age, kids]}
  - one_hot: {unknown: ignore}
"""
COLUMNS = (
    Column("age", "FP64", null="keep"), Column("kids", "INT64"),
    Column("job", "BYTES", null="keep"), Column("old", "BOOL"),
)  # fmt: skip
AGE, KIDS = [30.0, None, 50.0], [0, 1, 2]
JOB, OLD = ["clerk", "nurse", None], [False, False, True]


def csv(directory: Path) -> Path:
    """The rows as CSV, with a column that nobody asked for."""
    path = directory / "train.csv"
    path.write_text('age,zip,job,kids,old\n30,"1,2",clerk,0,false\n,x,nurse,1,0\n50.0,,,2,true\n')
    return path


def parquet(directory: Path) -> Path:
    """The same as Parquet."""
    path = directory / "train.parquet"
    table = pa.table({"age": AGE, "kids": KIDS, "job": JOB, "old": OLD, "zip": ["", "", ""]})
    pq.write_table(table, path)
    return path


def npz(directory: Path) -> Path:
    """The same as arrays, which have no null: the texts are all there, the hole is a NaN."""
    path = directory / "train.npz"
    age = np.array([30.0, np.nan, 50.0])
    np.savez(path, age=age, kids=np.array(KIDS), job=np.array(["a", "b", "c"]), old=np.array(OLD))
    return path


@pytest.mark.parametrize("write", [csv, parquet])
def test_all_forms_give_the_same_tensors(write: Any, tmp_path: Path) -> None:
    """As the same rows would be in a request: nulls are nulls."""
    age, kids, job, old = read_training_data(str(write(tmp_path)), COLUMNS)

    assert bytes(age.data)[8:16] == NULL["FP64"]
    assert age.array()[[0, 2]].tolist() == [30.0, 50.0]
    assert kids.array().tolist() == KIDS
    assert job.array().tolist() == [b"clerk", b"nurse", NULL_TEXT]
    assert old.array().tolist() == OLD


def test_npz_has_nan_where_others_have_null(tmp_path: Path) -> None:
    """What is no number there is not taken for what is not there."""
    age, kids, job, _ = read_training_data(str(npz(tmp_path)), COLUMNS)

    assert np.isnan(age.array()).tolist() == [False, True, False]
    assert bytes(age.data)[8:16] != NULL["FP64"]
    assert kids.datatype == "INT64"
    assert job.array().tolist() == [b"a", b"b", b"c"]


@pytest.mark.parametrize("write", [csv, parquet])
def test_the_command_writes_what_it_learns(
    write: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each operation from what the ones before it have made; the table says what was seen."""
    spec, target = tmp_path / "spec.yaml", tmp_path / "out.json"
    spec.write_text(SPEC)
    code = main([
        "fit-preprocess", str(write(tmp_path)), "--spec", str(spec), "-o", str(target),
    ])  # fmt: skip
    written = msgspec.json.decode(target.read_bytes(), type=Statistics)
    fills, moments, codes = (msgspec.json.decode(each.values) for each in written.operations)
    said = capsys.readouterr()

    assert code == 0
    assert (written.rows, written.types["job"]) == (3, "BYTES")
    assert fills == {"values": [40.0], "indicators": [True]}
    # The mean of the filled column; ddof 0.
    assert moments["center"] == [40.0, 1.0]
    assert moments["scale"] == pytest.approx([(200 / 3) ** 0.5, (2 / 3) ** 0.5])
    assert codes["columns"][0]["categories"] == ["clerk", "nurse", None]
    assert codes["columns"][0]["names"] == ["job_clerk", "job_nurse", "job_None"]
    assert "3 rows" in said.out
    assert "written:" in said.out
    assert "warning: column 'age' has no value in 1 of 3 rows" in said.err


def test_what_is_odd_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Constant columns, and as many categories as rows."""
    spec, data = tmp_path / "spec.yaml", tmp_path / "train.csv"
    spec.write_text(
        "columns: {a: {}, t: {type: BYTES}}\n"
        "operations: [standard: {columns: [a]}, ordinal: {columns: [t]}]\n"
    )
    data.write_text("a,t\n" + "".join(f"5,text{at}\n" for at in range(120)))
    code = main(["fit-preprocess", str(data), "--spec", str(spec), "-o", str(tmp_path / "o.json")])
    said = capsys.readouterr().err

    assert code == 0
    assert "column 'a' is constant" in said
    assert "column 't' has 120 different texts" in said


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("age,kids,job,old\n1,2\n", "train.csv:2: 2 cells, the header has 4"),
        ("age,kids,job,old\nx,1,a,0\n", "train.csv:2: column 'age': expected FP64, got 'x'"),
        ("age,kids,job,old\n1,1.5,a,0\n", "column 'kids': expected INT64, got '1.5'"),
        ("age,kids,job,old\n1,,a,0\n", "row 0, column 'kids' is null; expected a whole number"),
        ("age,kids,job\n1,1,a\n", "column 'old' is missing"),
        ("age,kids,job,old\n", "has no rows"),
        ("x\n1\n", "none of the columns is in it"),
        ("age,kids,job,old\ninf,1,a,0\n", "row 0, column 'age': infinity given"),
        ("age,kids,job,old\n,1,a,0\n", "impute: column 'age' has no value at all"),
        ('age,kids,job,old\n"1,1,a,0\n', "cannot be read"),
    ],
)
def test_data_that_cannot_be_learnt_from_is_said(
    data: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2, and no file."""
    spec, path, target = tmp_path / "spec.yaml", tmp_path / "train.csv", tmp_path / "out.json"
    spec.write_text(SPEC)
    path.write_text(data)
    code = main(["fit-preprocess", str(path), "--spec", str(spec), "-o", str(target)])
    said = capsys.readouterr().err

    assert code == 2
    assert says in said
    assert said.count("\n") == 1
    assert not target.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["x.csv", "-o", "o"], "with -c FILE and -m MODEL, or with --spec FILE"),
        (["x.xls", "-o", "o", "--spec", "SPEC"], "expected a file that ends in .csv"),
        (["x.csv", "--spec", "SPEC"], "say with -o where the statistics go"),
        (["x.csv", "-o", "o", "--spec", "SPEC"], "x.csv: cannot be read"),
        (["x.csv", "-o", "o", "--spec", "BAD"], "unknown step; expected"),
    ],
)
def test_wrong_arguments_are_said(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what would be right."""
    (tmp_path / "SPEC").write_text(SPEC)
    (tmp_path / "BAD").write_text("columns: {a: {}}\noperations: [nosuch: {}]\n")
    place = {"SPEC": str(tmp_path / "SPEC"), "BAD": str(tmp_path / "BAD"),
             "o": str(tmp_path / "o")}  # fmt: skip
    code = main(["fit-preprocess", *(place.get(each, each) for each in arguments)])

    assert code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("package", ["pyarrow.parquet", "sklearn.preprocessing"])
def test_a_missing_extra_is_named(
    package: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The core installs without what only this command needs."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    data = parquet(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    code = main([
        "fit-preprocess", str(data), "--spec", str(tmp_path / "spec.yaml"),
        "-o", str(tmp_path / "o.json"),
    ])  # fmt: skip

    assert code == 2
    assert "pip install 'infergate[fit]'" in capsys.readouterr().err


def test_a_matrix_is_no_column(tmp_path: Path) -> None:
    """An npz file has an array for each column."""
    np.savez(tmp_path / "x.npz", age=np.zeros((3, 2)))

    with pytest.raises(LabError, match="array 'age' is 2-dimensional, expected 1"):
        read_training_data(str(tmp_path / "x.npz"), COLUMNS)
