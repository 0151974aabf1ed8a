# SPDX-License-Identifier: Apache-2.0
"""Inverse scale: back to what scikit-learn's scalers were given."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from tests.support.applying import applied, fault, singles
from tests.support.steps import gives, output_step

if TYPE_CHECKING:
    from pathlib import Path

TARGETS = np.random.default_rng(4).gamma(2, 100, (50, 3))


def test_a_standard_scaling_is_undone() -> None:
    """With its own numbers."""
    scaler = StandardScaler().fit(TARGETS)

    made = applied(
        "inverse_scale",
        {"y": scaler.transform(TARGETS)},
        mean=scaler.mean_.tolist(),
        scale=scaler.scale_.tolist(),
    )

    np.testing.assert_allclose(made["y"], TARGETS, rtol=1e-12)


def test_a_min_max_scaling_is_undone_from_its_file(tmp_path: Path) -> None:
    """The least and the greatest target."""
    scaler = MinMaxScaler().fit(TARGETS)
    file = tmp_path / "statistics.json"
    file.write_text(
        json.dumps({"min": scaler.data_min_.tolist(), "max": scaler.data_max_.tolist()})
    )

    made = applied("inverse_scale", {"y": scaler.transform(TARGETS)}, file=str(file))

    np.testing.assert_allclose(made["y"], TARGETS, rtol=1e-9)


@pytest.mark.parametrize(
    ("log", "taken"),
    [("log", np.log), ("log1p", np.log1p), ("log2", np.log2), ("log10", np.log10)],
)
def test_a_logarithm_is_undone_after_the_scaling(log: str, taken: np.ufunc) -> None:
    """It was taken before the scaling."""
    scaler = StandardScaler().fit(taken(TARGETS))

    made = applied(
        "inverse_scale",
        {"y": scaler.transform(taken(TARGETS))},
        mean=scaler.mean_.tolist(),
        scale=scaler.scale_.tolist(),
        log=log,
    )

    np.testing.assert_allclose(made["y"], TARGETS, rtol=1e-9)


def test_one_number_a_row_needs_no_columns() -> None:
    """Regression models give [n] or [n, 1]."""
    assert applied("inverse_scale", {"y": singles([1, 2])}, mean=1, scale=2)["y"].tolist() == [
        3,
        5,
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "expected 'mean' and 'scale', or 'min' and 'max'"),
        ('{"mean": 1}', "expected 'mean' and 'scale'"),
        ('{"mean": "a", "scale": 1}', "`float | array | null`, got `str`"),
        ('{"min": [0, 0], "max": [1]}', "equally many"),
        ('{"mean": [0, 0], "scale": [1, 1]}', "2 columns are given, but output 'y' [-1, 3] has 3"),
        ('{"mean": [0, 0, 0], "scale": [1, 1]}', "equally many"),
    ],
)
def test_statistics_that_do_not_fit_are_refused(tmp_path: Path, text: str, says: str) -> None:
    """At the start, with what is wrong."""
    file = tmp_path / "s.json"
    file.write_text(text)

    assert says in fault(gives("FP32", -1, 3), "inverse_scale", file=str(file))


def test_numbers_come_from_one_place() -> None:
    """Not from the configuration and a file."""
    with pytest.raises(ValueError, match="not both"):
        output_step("inverse_scale", file="f", mean=1)
