# SPDX-License-Identifier: Apache-2.0
"""What the first inferences show of a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from backends.errors import StartError
from backends.repository import find_model
from backends.session import Session, SessionOptions
from backends.warmup import Warm, label_outputs, warm_up
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import ITEM_SIZE
from tests.support import models


def _warm(
    path: Path,
    model: onnx.ModelProto,
    *,
    runs: int = 1,
    data: Path | None = None,
    batched: bool | None = None,
) -> Warm:
    file = find_model(models.save(model, path / "m"))
    session = Session(file.path, SessionOptions())
    return warm_up(session, file, runs=runs, data=data, batched=batched)


@pytest.mark.parametrize("datatype", ITEM_SIZE)
def test_every_datatype_can_be_made_up(tmp_path: Path, datatype: str) -> None:
    """A model needs no example to be warmed up, whatever it takes."""
    warm = _warm(tmp_path, models.identity(datatype))
    assert warm.info.batched
    assert warm.probe is not None


@pytest.mark.parametrize(
    ("model", "batched"),
    [
        (models.add(), True),
        (models.two_outputs(), True),
        (models.add(shape=(1, 2)), False),
        (models.add(shape=()), False),
        (models.distinct(), False),
        (models.identity(shape=(2, "rows")), False),
    ],
    ids=["rows", "two-outputs", "fixed", "scalar", "distinct", "free-last"],
)
def test_a_batch_is_a_first_dimension_that_stays(
    tmp_path: Path, model: onnx.ModelProto, *, batched: bool
) -> None:
    """Free in every input and output, and two rows in are two rows out."""
    assert _warm(tmp_path, model).info.batched is batched


@pytest.mark.parametrize("batched", [True, False])
def test_the_operator_can_overrule_what_was_found(tmp_path: Path, *, batched: bool) -> None:
    """Only who knows the model knows whether rows are independent."""
    assert _warm(tmp_path, models.distinct(), batched=batched).info.batched is batched


def test_an_output_without_a_declared_rank_gets_the_one_it_has(tmp_path: Path) -> None:
    """A converter often leaves it out; a run shows it."""
    model = models.identity()
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None))
    info = _warm(tmp_path, model).info
    assert len(info.outputs[0].shape) == 2
    assert info.batched


def test_without_warm_up_the_declaration_counts(tmp_path: Path) -> None:
    """Nothing is computed, so nothing is known but what the file says."""
    warm = _warm(tmp_path, models.distinct(), runs=0)
    assert warm.probe is None
    assert warm.info.batched


def test_the_description_names_file_and_version(tmp_path: Path) -> None:
    """What a gateway needs to key its cache and to describe the model to clients."""
    info = _warm(tmp_path, models.add()).info
    assert (info.name, info.version, info.platform) == ("m", "1", "onnx_onnxv1")
    assert info.digest == find_model(tmp_path / "m").digest
    assert [spec.name for spec in info.inputs] == ["a", "b"]


def test_labels_go_to_scores_and_class_numbers() -> None:
    """As wide as there are names, or one integer a row."""
    specs = (
        TensorSpec("scores", "FP32", (-1, 2)),
        TensorSpec("wide", "FP32", (-1, -1)),
        TensorSpec("class", "INT64", (-1,)),
        TensorSpec("column", "UINT8", (-1, 1)),
        TensorSpec("counts", "INT64", (-1, 5)),
        TensorSpec("height", "FP32", (-1,)),
    )
    shapes: list[tuple[int, ...]] = [(1, 2), (1, 2), (1,), (1, 1), (1, 5), (1,)]
    found = label_outputs(specs, shapes, ("cat", "dog"))
    assert set(found) == {"scores", "wide", "class", "column"}
    assert set(found.values()) == {("cat", "dog")}
    assert label_outputs(specs, shapes, ()) == {}


def test_warm_up_data_is_used(tmp_path: Path) -> None:
    """Inputs that the model was made for prove more than zeros."""
    data = tmp_path / "data.npz"
    np.savez(data, index=np.array([3, 2], np.int64))
    warm = _warm(tmp_path, models.gather(), data=data)
    assert warm.probe is not None
    assert warm.probe["index"].tolist() == [3, 2]


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"other": np.zeros(1, np.int64)}, r"no array 'index'; it holds \['other'\]"),
        ({"index": np.zeros(1, np.int32)}, "array 'index' is int32; the input takes int64"),
        ({"index": np.zeros((1, 1), np.int64)}, "the warm-up data does not fit"),
        ({"index": np.array([9])}, "the warm-up inference failed: .*--warmup-data"),
    ],
)
def test_warm_up_data_that_does_not_fit_is_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]], says: str
) -> None:
    """The error says what the model takes."""
    data = tmp_path / "data.npz"
    np.savez(data, allow_pickle=False, **arrays)
    with pytest.raises(StartError, match=says):
        _warm(tmp_path, models.gather(), data=data)


@pytest.mark.parametrize("content", [None, b"", b"PK nothing"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A missing, empty or foreign file is named."""
    data = tmp_path / "data.npz"
    if content is not None:
        data.write_bytes(content)
    with pytest.raises(StartError, match=r"not an \.npz of input arrays"):
        _warm(tmp_path, models.gather(), data=data)
