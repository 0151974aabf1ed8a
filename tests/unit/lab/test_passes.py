# SPDX-License-Identifier: Apache-2.0
"""Passes: each row is answered once and in its place, and a mix-up is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest

from gateway.lab import LabError
from gateway.lab.answers import Prediction
from gateway.lab.client import Client
from gateway.lab.dataset import Dataset, fit
from gateway.lab.passes import Pass, difference, in_order, send, shuffled
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Array, Tensor

LABEL = TensorSpec("label", "INT64", (-1,))
SCORES = TensorSpec("scores", "FP32", (-1, 3))


class Echo:
    """A client whose predicted class is the row's first value; fails from row *fails_at* on."""

    def __init__(self, fails_at: float = float("inf")) -> None:
        self.sizes: list[int] = []
        self._fails_at = fails_at

    async def predict(
        self, inputs: Sequence[Tensor], outputs: Sequence[TensorSpec], *, bare: bool = False
    ) -> list[Array]:
        """The first column, as class or as scores."""
        first: Array = inputs[0].array()[:, 0].astype(np.int64)
        self.sizes.append(len(first))
        if first[-1] >= self._fails_at:
            raise LabError("row refused")
        return [first if one.name == "label" else np.stack([first] * 3, axis=1) for one in outputs]


def dataset(rows: int, each: int) -> Dataset:
    """Rows 0, 1, 2 and so on, *each* to a request."""
    data = {"inputs": np.arange(rows, dtype=float).reshape(rows, 1),
            "labels": np.zeros(rows, dtype=int)}  # fmt: skip
    return fit("f", data, [TensorSpec("x", "FP32", (-1, 1))], rows=each)


@pytest.mark.parametrize("concurrency", [1, 3, 100])
@pytest.mark.parametrize("order", ["in order", "shuffled"])
async def test_every_row_is_answered_once_and_in_its_place(concurrency: int, order: str) -> None:
    """However many requests are in flight and however rows are dealt out, answer i is of row i."""
    data, echo = dataset(25, 4), Echo()
    done: list[int] = []
    random = np.random.default_rng(1)

    result = await send(
        cast("Client", echo), data, Prediction(LABEL, "class", SCORES),
        parts=in_order(data) if order == "in order" else shuffled(data, random),
        concurrency=concurrency, done=done.append,
    )  # fmt: skip

    assert result.predicted.tolist() == list(range(25))
    assert result.scores is not None
    assert result.scores[:, 2].tolist() == list(range(25))
    assert len(result.latencies) == len(echo.sizes)
    assert sum(done) == sum(echo.sizes) == 25
    if order == "in order":
        assert sorted(echo.sizes) == [1, 4, 4, 4, 4, 4, 4]
    else:
        assert set(echo.sizes) <= {1, 2, 3, 4}


async def test_the_first_refusal_ends_it() -> None:
    """A figure over a part of the rows would be wrong; the reason passes on."""
    data = dataset(9, 1)

    with pytest.raises(LabError, match="row refused"):
        await send(
            cast("Client", Echo(fails_at=3)), data, Prediction(LABEL, "class"),
            parts=in_order(data), concurrency=2, done=lambda _: None,
        )  # fmt: skip


def result(predicted: list[float], scores: Array | None = None) -> Pass:
    """A pass with these answers."""
    return Pass(np.asarray(predicted), scores, np.zeros(1), 1.0)


def test_a_row_with_another_answer_is_a_difference() -> None:
    """Another class, another value, or scores that moved by more than rounding."""
    scores = np.asarray([[0.9, 0.1], [0.4, 0.6]])

    assert difference(result([0, 1, 2]), result([0, 2, 2])).rows.tolist() == [1]
    assert difference(result([1.0, 500.0]), result([1.000001, 500.001])).rows.tolist() == []
    assert difference(result([1.0, 500.0]), result([1.1, 500.0])).rows.tolist() == [0]
    rounded = difference(result([0, 1], scores), result([0, 1], scores + 1e-7))
    assert rounded.rows.tolist() == []
    assert rounded.largest == pytest.approx(1e-7)
    # The same class from the scores of another row: nothing else would show it.
    moved = difference(result([0, 0], scores), result([0, 0], scores[::-1]))
    assert moved.rows.tolist() == [0, 1]


def test_a_model_of_fixed_rows_gets_them_shuffled_too() -> None:
    """It takes no other number."""
    data = fit(
        "f", {"x": np.ones((6, 1)), "labels": np.zeros(6, dtype=int)},
        [TensorSpec("x", "FP32", (3, 1))], rows=2,
    )  # fmt: skip

    parts = list(shuffled(data, np.random.default_rng(1)))
    assert [len(part) for part in parts] == [3, 3]
    assert sorted(np.concatenate(parts).tolist()) == list(range(6))
