# SPDX-License-Identifier: Apache-2.0
"""The compute-bound model is the same on every run and tells its images apart."""

from pathlib import Path

import numpy as np

from benchmarks.models import build, images
from benchmarks.payloads import expect


def test_the_model_is_built_the_same_twice(tmp_path: Path) -> None:
    """Two runs measure one model."""
    one, two = build(tmp_path / "one"), build(tmp_path / "two")
    assert one == tmp_path / "one" / "1" / "model.onnx"
    assert one.read_bytes() == two.read_bytes()


def test_each_image_has_probabilities_of_its_own(tmp_path: Path) -> None:
    """An answer to another image is seen as wrong."""
    rows = images(3)
    assert rows.shape == (3, 3, 224, 224)
    assert rows.dtype == np.float32
    first, second, third = (truth.scores for truth in expect(build(tmp_path), rows))
    for one, other in ((first, second), (second, third), (first, third)):
        assert np.abs(one - other).max() > 0.01
