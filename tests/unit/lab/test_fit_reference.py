# SPDX-License-Identifier: Apache-2.0
"""Tables as arrays for a model's inputs, for a reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gateway.lab import LabError
from gateway.lab.fit_reference import _arrays
from gateway.wire.model import TensorSpec

WIDE = (TensorSpec("x", "FP32", (-1, 2)),)
NAMED = (TensorSpec("age", "FP32", (-1, 1)), TensorSpec("job", "BYTES", (-1,)))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_all_columns_are_one_input_that_is_a_row_of_numbers(tmp_path: Path, form: str) -> None:
    """In their order; what is true is not among them."""
    path = tmp_path / f"data.{form}"
    if form == "csv":
        path.write_text("b,label,a\n1,0,2\n3,1,4\n")
    else:
        pq.write_table(pa.table({"b": [1.0, 3.0], "label": [0, 1], "a": [2.0, 4.0]}), path)
    assert _arrays(str(path), WIDE)["x"].tolist() == [[1, 2], [3, 4]]


def test_each_input_is_the_column_of_its_name(tmp_path: Path) -> None:
    """With the shape that the model takes."""
    path = tmp_path / "data.csv"
    path.write_text("job,age\nclerk,41\nsmith,30\n")
    arrays = _arrays(str(path), NAMED)
    assert arrays["age"].tolist() == [[41], [30]]
    assert arrays["job"].tolist() == ["clerk", "smith"]
    assert arrays["labels"].tolist() == [0, 0]


def test_an_archive_is_taken_as_it_is(tmp_path: Path) -> None:
    """Labels or not."""
    np.savez(tmp_path / "data.npz", inputs=np.zeros((3, 2)))
    assert len(_arrays(str(tmp_path / "data.npz"), WIDE)["labels"]) == 3


def test_columns_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """With how many there are."""
    path = tmp_path / "data.csv"
    path.write_text("a,b,c\n1,2,3\n")
    with pytest.raises(LabError, match="3 columns; the model takes rows of 2 numbers"):
        _arrays(str(path), WIDE)
    with pytest.raises(LabError, match="cannot be read"):
        _arrays(str(tmp_path / "nothing.csv"), WIDE)
