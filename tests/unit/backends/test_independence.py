# SPDX-License-Identifier: Apache-2.0
"""Whether rows depend on each other, as far as trying shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from backends.independence import coupling
from backends.session import Session, SessionOptions
from gateway.wire.tensor import ITEM_SIZE, Tensor
from tests.support import models


def _session(path: Path, model: onnx.ModelProto) -> Session:
    return Session(models.save(model, path / "m") / "1" / "model.onnx", SessionOptions())


@pytest.mark.parametrize("datatype", ITEM_SIZE)
def test_rows_of_every_datatype_are_tried(tmp_path: Path, datatype: str) -> None:
    """The made-up rows differ, else nothing would be shown by them."""
    assert coupling(_session(tmp_path, models.identity(datatype))) == ""


@pytest.mark.parametrize("model", [models.add(), models.two_outputs(), models.gather()])
def test_rows_that_go_their_own_way_are_independent(tmp_path: Path, model: onnx.ModelProto) -> None:
    """With several inputs and outputs, and where inputs are indices."""
    assert coupling(_session(tmp_path, model)) == ""


def test_batch_statistics_couple_rows(tmp_path: Path) -> None:
    """A row alone gives something else; the output is named."""
    found = coupling(_session(tmp_path, models.centred()))
    assert found == "output 'y' of a row depends on the other rows of its batch"


def test_dynamic_quantisation_couples_rows(tmp_path: Path) -> None:
    """However close they come when tried: the scale is that of the whole batch."""
    found = coupling(_session(tmp_path, models.dynamically_quantised()))
    assert found == "it quantises over all rows of a batch at once (DynamicQuantizeLinear)"


def test_rows_that_all_give_the_same_prove_nothing(tmp_path: Path) -> None:
    """What was made up may not be what the model looks at."""
    assert coupling(_session(tmp_path, models.constant())) is None


def test_rows_that_the_model_refuses_prove_nothing(tmp_path: Path) -> None:
    """Nor do they stop the worker."""
    assert coupling(_session(tmp_path, models.add(shape=(1, 2)))) is None


@pytest.mark.parametrize(("rows", "expected"), [(3, None), (2, "")])
def test_given_rows_are_tried_where_there_are_enough(
    tmp_path: Path, rows: int, expected: str | None
) -> None:
    """Three at least; these are all alike."""
    given = (Tensor.of("x", np.ones((rows, 2), np.float32)),)
    assert coupling(_session(tmp_path, models.identity()), given) == expected
