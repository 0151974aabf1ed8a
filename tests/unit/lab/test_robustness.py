# SPDX-License-Identifier: Apache-2.0
"""Robustness: pictures to values from 0 to 1 and back, and the table."""

from __future__ import annotations

from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from gateway.lab import LabError
from gateway.lab.robustness import Pictures, Probe, Robustness
from gateway.statistics.estimate import Estimate

RNG = np.random.default_rng(10)
BYTES = RNG.integers(0, 256, (4, 3, 5, 6)).astype(np.uint8)
BYTES[0, 0, 0, :2] = 0, 255


@pytest.mark.parametrize(
    ("rows", "options", "shape"),
    [
        (BYTES, {"layout": "NCHW"}, (4, 5, 6, 3)),
        (BYTES.transpose(0, 2, 3, 1), {"layout": "NHWC"}, (4, 5, 6, 3)),
        (BYTES[:, 0], {"layout": "NCHW"}, (4, 5, 6, 1)),
        (BYTES.reshape(4, 90), {"layout": "NCHW", "shape": (3, 5, 6)}, (4, 5, 6, 3)),
        (BYTES[:, 0].reshape(4, 30), {"layout": "NCHW", "shape": (5, 6)}, (4, 5, 6, 1)),
    ],
)
def test_pictures_come_back_as_they_were(
    rows: np.ndarray[Any, Any], options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    """In every layout, from 0 to 1 meanwhile, in their own type behind."""
    pictures = Pictures(rows, name="x", limits=(0, 255), **options)

    values = pictures.values()
    assert values.shape == shape
    np.testing.assert_array_equal(values[0, :, :, 0], BYTES[0, 0] / 255)
    back = pictures.rows(values)
    assert back.dtype == rows.dtype
    np.testing.assert_array_equal(back, rows)


def test_the_range_is_that_of_the_data_where_none_is_told() -> None:
    """Digits go from 0 to 16."""
    rows = np.array([[0, 4, 8, 16]], np.float32)
    values = Pictures(rows, name="x", layout="NCHW", shape=(2, 2)).values()

    assert values.reshape(-1).tolist() == [0, 0.25, 0.5, 1]


@pytest.mark.parametrize(
    ("rows", "options", "says"),
    [
        (np.zeros((2, 64)), {}, "a row of input 'x' is [64], which is no picture of [64]; say"),
        (np.zeros((2, 64)), {"shape": (8, 9)}, "no picture of [8, 9]"),
        (np.zeros((2, 8, 8)), {}, "values of input 'x' go from 0.0 to 0.0; say the range"),
        (np.full((2, 2, 2), "a"), {}, "corruptions are for numbers"),
    ],
)
def test_what_is_no_picture_is_refused(
    rows: np.ndarray[Any, Any], options: dict[str, Any], says: str
) -> None:
    """With the option that would help."""
    with pytest.raises(LabError) as caught:
        Pictures(rows, name="x", layout="NCHW", **options)
    assert says in str(caught.value)


def estimate(value: float, lower: float, upper: float) -> Estimate:
    """What was found on 50 rows."""
    return Estimate(value=value, lower=lower, upper=upper, n=50, effective=50, method="wilson")


def test_the_table_has_accuracy_interval_and_n_for_each_probe() -> None:
    """And says what was left out, and why."""
    text = StringIO()
    probes = [
        Probe("none", 0, estimate(0.9, 0.8, 0.95)),
        Probe("blur", 2, estimate(0.5, 0.4, 0.6)),
        Probe("jpeg", 1, skipped="JPEG needs Pillow"),
    ]
    Robustness("m", "d.npz", 0.95, probes).show(Console(file=text, width=100))

    lines = [line.split() for line in text.getvalue().splitlines()]
    assert ["blur", "2", "0.5000", "0.4000", "to", "0.6000", "50"] in lines
    assert ["none", "0.9000", "0.8000", "to", "0.9500", "50"] in lines
    assert ["jpeg", "JPEG", "needs", "Pillow"] in lines
