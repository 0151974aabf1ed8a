# SPDX-License-Identifier: Apache-2.0
"""Detections: beside a plain decoder that compares every box with every other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BadAnswer
from gateway.steps import bind_outputs, client_info
from gateway.steps.suppression import suppress
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Array, Tensor
from tests.support.applying import applied, fault, singles
from tests.support.steps import gives, model, output_step


def overlap(one: list[float], other: list[float]) -> float:
    """Intersection over union of two boxes, by its definition; 0 where neither has an area."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = [max(b[2] - b[0], 0.0) * max(b[3] - b[1], 0.0) for b in (one, other)]
    union = sum(areas) - shared
    return shared / union if union else 0.0


def oracle(
    boxes: Array, scores: Array, classes: Array, *, iou: float, most: int, per_class: bool
) -> list[int]:
    """Greedy suppression as it is told in a sentence: best first, unless a kept one is too near."""
    kept: list[int] = []
    for at in sorted(range(len(scores)), key=lambda each: (-scores[each], each)):
        rivals = [k for k in kept if not per_class or classes[k] == classes[at]]
        if all(overlap(boxes[at].tolist(), boxes[k].tolist()) <= iou for k in rivals):
            kept.append(at)
    return kept[:most]


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 40),
    iou=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    most=st.sampled_from([1, 5, 100]),
    per_class=st.booleans(),
)
def test_suppression_keeps_what_the_plain_one_keeps(
    *, seed: int, count: int, iou: float, most: int, per_class: bool
) -> None:
    """On boxes of whole coordinates, so that many touch, repeat and share a score."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 12, (count, 2))
    boxes = np.concatenate([corner, corner + rng.integers(-1, 7, (count, 2))], 1).astype(np.float32)
    scores = rng.integers(0, 6, count) / np.float32(5)
    classes = rng.integers(0, 3, count)
    options: dict[str, Any] = {"iou": iou, "most": most, "per_class": per_class}

    kept = suppress(boxes, scores, classes, **options).tolist()

    assert kept == oracle(boxes, scores, classes, **options)


# Two pictures of four places: three boxes on one thing, and one elsewhere.
BOXES = singles(
    [
        [[0, 0, 10, 10], [1, 1, 11, 11], [0, 0, 10, 9], [50, 50, 60, 60]],
        [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [5, 5, 7, 7]],
    ]
)
SCORES = singles(
    [
        [[0.9, 0.1], [0.8, 0.2], [0.1, 0.7], [0.3, 0.6]],
        [[0.1, 0.2], [0.2, 0.1], [0.0, 0.0], [np.nan, np.nan]],
    ]
)


def test_detections_have_one_size_and_a_count() -> None:
    """What is beyond the count is padding."""
    made = applied(
        "detections", {"b": BOXES, "s": SCORES}, boxes="b", scores="s", max=4, name="found"
    )

    assert made["found_count"].tolist() == [3, 0]
    assert made["found_classes"].tolist() == [[0, 1, 1, -1], [-1, -1, -1, -1]]
    np.testing.assert_allclose(made["found_scores"], singles([[0.9, 0.7, 0.6, 0], [0] * 4]))
    assert made["found_boxes"][0].tolist() == [
        [0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60], [0, 0, 0, 0],
    ]  # fmt: skip
    assert not made["found_boxes"][1].any()


def test_all_classes_rival_each_other_if_asked() -> None:
    """One thing is one detection then."""
    made = applied(
        "detections", {"b": BOXES, "s": SCORES}, boxes="b", scores="s", max=4, per_class=False
    )

    assert made["detections_count"].tolist() == [2, 0]


@pytest.mark.parametrize("form", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("objectness", [False, True])
def test_every_form_of_a_detector_gives_the_same_boxes(
    *, form: str, transposed: bool, objectness: bool
) -> None:
    """In one output or two, its places last or not, sizes or corners."""
    size = BOXES[..., 2:] - BOXES[..., :2]
    first = {"xyxy": BOXES[..., :2], "xywh": BOXES[..., :2], "cxcywh": BOXES[..., :2] + size / 2}
    boxes = np.concatenate([first[form], BOXES[..., 2:] if form == "xyxy" else size], -1)
    columns = [boxes, SCORES]
    if objectness:
        columns = [boxes, np.full((*boxes.shape[:-1], 1), 0.5, np.float32), SCORES * 2]
    output = np.concatenate(columns, -1)
    expected = applied("detections", {"b": BOXES, "s": SCORES}, boxes="b", scores="s", max=5)

    made = applied(
        "detections",
        {"y": output.swapaxes(1, 2) if transposed else output},
        boxes="y", form=form, transposed=transposed, objectness=objectness, max=5,
    )  # fmt: skip

    assert made.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(made[name], array)


def test_only_the_best_candidates_are_looked_at() -> None:
    """The time of a picture is bounded."""
    made = applied(
        "detections", {"b": BOXES, "s": SCORES}, boxes="b", scores="s", max=4, candidates=2
    )

    # Both are of one class and on one thing.
    assert made["detections_count"].tolist() == [1, 0]


def test_a_box_that_is_nowhere_is_left_out() -> None:
    """An infinite corner would cover everything."""
    boxes = BOXES.copy()
    boxes[0, 0, 2] = np.inf
    made = applied("detections", {"b": boxes, "s": SCORES}, boxes="b", scores="s", max=4)

    assert made["detections_scores"][0].tolist()[0] == pytest.approx(0.8)


def test_classes_take_the_labels_and_others_stay() -> None:
    """So that a labels step behind it finds the names."""
    info = model(
        outputs=(
            TensorSpec("b", "FP32", (-1, 4, 4)),
            TensorSpec("z", "INT64", (-1,)),
            TensorSpec("s", "FP32", (-1, 4, 2)),
        ),
        labels={"s": ("cat", "dog")},
    )
    steps = [
        output_step("detections", boxes="b", scores="s", max=4),
        output_step("labels", output="detections_classes", padding=""),
    ]
    sent = (
        Tensor.of("b", BOXES),
        Tensor.of("z", np.array([7, 8])),
        Tensor.of("s", SCORES),
    )

    seen = client_info(info, [], steps)
    made = {tensor.name: tensor.array() for tensor in bind_outputs(info, steps)(sent)}

    assert [spec.name for spec in seen.outputs] == list(made)
    assert made["z"].tolist() == [7, 8]
    assert made["detections_classes"].tolist() == [[b"cat", b"dog", b"dog", b""], [b""] * 4]


@pytest.mark.parametrize(
    ("shape", "fields", "says"),
    [
        ((-1, 9, 4), {"boxes": "x"}, "there is no output 'x' here, only 'y'"),
        ((-1, 9, 4), {"boxes": "y"}, "with at least 5 columns"),
        ((-1, 9, 5), {"boxes": "y", "objectness": True}, "with at least 6 columns"),
        ((-1, 9), {"boxes": "y"}, "expected floats, [n, places, columns]"),
        ((-1, 84, 10), {"boxes": "y", "scores": "y"}, "with 4 columns"),
    ],
)
def test_outputs_of_other_shapes_are_refused(
    shape: tuple[int, ...], fields: dict[str, Any], says: str
) -> None:
    """At the start."""
    assert says in fault(gives("FP32", *shape), "detections", **fields)


def test_places_that_do_not_match_are_a_bad_answer() -> None:
    """A free dimension is known with the answer only."""
    info = model(
        outputs=(TensorSpec("b", "FP32", (-1, -1, 4)), TensorSpec("s", "FP32", (-1, -1, 2)))
    )
    kernel = bind_outputs(info, [output_step("detections", boxes="b", scores="s")])

    with pytest.raises(BadAnswer, match="equally many places"):
        kernel((Tensor.of("b", BOXES), Tensor.of("s", SCORES[:, :3])))
