# SPDX-License-Identifier: Apache-2.0
"""How right the answers to a probe are: as scikit-learn says."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error

from gateway.quality.probes.score import score
from gateway.wire.tensor import Tensor

RNG = np.random.default_rng(0)
TRUE = RNG.integers(0, 3, 60)
SAID = np.where(RNG.random(60) < 0.8, TRUE, RNG.integers(0, 3, 60))


@pytest.mark.parametrize("form", ["whole", "text", "scores"])
def test_classes_are_found_however_they_are_said(form: str) -> None:
    """As a number, as a name that is a number, or as the highest score."""
    tensors = {
        "whole": Tensor.of("y", SAID.astype(np.int64)),
        "text": Tensor.of("y", SAID.astype(str)),
        "scores": Tensor.of("y", np.eye(3, dtype=np.float32)[SAID]),
    }
    figures = score((tensors[form],), TRUE)
    assert figures["accuracy"].value == pytest.approx(accuracy_score(TRUE, SAID))
    assert figures["macro_f1"].value == pytest.approx(f1_score(TRUE, SAID, average="macro"))
    assert figures["accuracy"].lower < figures["accuracy"].value < figures["accuracy"].upper


def test_names_are_compared_as_names() -> None:
    """Labels that are text need an output that says it; scores alone do not."""
    names = np.asarray(["cat", "dog", "owl"])
    figures = score((Tensor.of("y", names[SAID]),), names[TRUE])
    assert figures["accuracy"].value == pytest.approx(accuracy_score(TRUE, SAID))
    assert score((Tensor.of("y", np.eye(3, dtype=np.float32)[SAID]),), names[TRUE]) == {}


def test_numbers_and_sets_have_figures_of_their_own() -> None:
    """Errors, and whole sets."""
    true, said = RNG.normal(size=60), RNG.normal(size=60)
    figures = score((Tensor.of("y", said[:, None]),), true)
    assert figures["mae"].value == pytest.approx(mean_absolute_error(true, said))
    sets = (RNG.random((60, 3)) < 0.5).astype(np.int64)
    given = np.where(sets == 1, 0.9, 0.1).astype(np.float32)
    given[:6] = 1 - given[:6]
    assert score((Tensor.of("y", given),), sets)["subset_accuracy"].value == pytest.approx(0.9)


def test_the_output_that_is_meant_is_taken() -> None:
    """Where another would fit too."""
    outputs = (Tensor.of("other", TRUE.astype(np.int64)), Tensor.of("y", SAID.astype(np.int64)))
    assert score(outputs, TRUE)["accuracy"].value == 1.0
    assert score(outputs, TRUE, output="y")["accuracy"].value < 1.0
