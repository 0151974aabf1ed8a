# SPDX-License-Identifier: Apache-2.0
"""The confusion matrix as a picture."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from gateway.lab.confusion_picture import svg
from gateway.lab.quality import Quality, Truth

_SVG = "{http://www.w3.org/2000/svg}"


def _quality(truth: Any, said: Any, task: Any = "classification") -> Quality:
    return Quality(
        model="m<1>", url="", protocol="", output="", rule="", data="set.npz", seconds=1.0,
        finished="", **Truth(task, np.asarray(truth), np.asarray(said)).fields(),
    )  # fmt: skip


def _drawn(quality: Quality) -> ET.Element:
    return ET.fromstring(svg(quality))  # noqa: S314 - our own


def test_every_count_has_its_cell_and_its_words() -> None:
    """Right and wrong apart, deeper where more of the row; empty cells have none."""
    root = _drawn(_quality([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]))

    cells = [one for one in root.iter(f"{_SVG}rect") if one.get("class") in {"right", "wrong"}]
    said = [one.findtext(f"{_SVG}title") for one in cells]
    assert said == [
        "0 as 0: 3 of 4 (75.0%)", "0 as 1: 1 of 4 (25.0%)", "1 as 1: 2 of 2 (100.0%)",
    ]  # fmt: skip
    assert [one.get("class") for one in cells] == ["right", "wrong", "right"]
    depths = [float(one.get("fill-opacity", 0)) for one in cells]
    assert depths[1] < depths[0] < depths[2]
    texts = [one.text for one in root.iter(f"{_SVG}text")]
    assert {"3", "1", "2", "·", "75.0%", "100.0%", "predicted", "true"} <= set(texts)
    assert "6 rows of set.npz, accuracy 0.8333" in texts


def test_names_are_escaped_and_shortened() -> None:
    """Whatever classes are called, the file is XML."""
    long = "x" * 60
    root = _drawn(_quality(["<a>&", long], ["<a>&", long]))

    texts = [one.text or "" for one in root.iter(f"{_SVG}text")]
    assert "<a>&" in texts
    assert "Confusion matrix of m<1>" in texts
    assert max(len(each) for each in texts) < 60


@pytest.mark.parametrize("classes", [2, 30, 300])
def test_it_lies_within_its_frame_for_any_number_of_classes(classes: int) -> None:
    """No cell or name stands outside of the picture."""
    root = _drawn(_quality(range(classes), range(classes)))

    _, _, width, height = (float(each) for each in (root.get("viewBox") or "").split())
    for one in root.iter(f"{_SVG}rect"):
        assert float(one.get("x", 0)) + float(one.get("width", 0)) <= width
        assert float(one.get("y", 0)) + float(one.get("height", 0)) <= height
    assert width < 3000


def test_numbers_have_no_confusion_matrix() -> None:
    """It says so."""
    with pytest.raises(ValueError, match="a regression has no confusion matrix"):
        svg(_quality([0.5, 1.5], [0.5, 1.0], "regression"))
