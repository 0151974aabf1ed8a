# SPDX-License-Identifier: Apache-2.0
"""Detections: what a detector gives for every place of a picture becomes a short list of boxes."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, NamedTuple

import msgspec
import numpy as np

from gateway.errors import BadAnswer
from gateway.steps.answer import made
from gateway.steps.step import FLOATS, Kernel, Misfit, OnOutputs, Tensors, find, listed
from gateway.steps.suppression import corners_of, suppress
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import Array

_BOX: Final = 4


class _Places(NamedTuple):
    """Of each row: *boxes* [n, 4] as the model gives them, *scores* [n, classes]."""

    boxes: Array
    scores: Array


class Detections(OnOutputs, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Boxes and scores of all places to the detections of each picture, by non-maximum suppression.

    Every place counts for its best class. The results have one size whatever is found, so that
    pictures can share a batch: ``NAME_boxes`` FP32 [n, max, 4] as x1, y1, x2, y2 in the model's
    own coordinates, ``NAME_scores`` FP32 and ``NAME_classes`` INT64 [n, max], best first, and
    ``NAME_count`` INT64 [n]. What is beyond the count is 0, and class -1.
    """

    kind: ClassVar[str] = "detections"

    boxes: Annotated[
        str,
        msgspec.Meta(
            description="The output with the boxes, [n, places, 4]; without 'scores' its further "
            "columns are the scores of the classes, as in YOLO's [n, places, 4 + classes]."
        ),
    ]
    scores: Annotated[
        str,
        msgspec.Meta(
            description="The output with the scores, [n, places, classes], or [n, places] of one "
            "class."
        ),
    ] = ""
    form: Annotated[
        Literal["xyxy", "xywh", "cxcywh"],
        msgspec.Meta(
            description="What the four numbers are: two corners, the upper left corner and size, "
            "or the centre and size."
        ),
    ] = "xyxy"
    transposed: Annotated[
        bool,
        msgspec.Meta(description="Places are the last dimension, as in YOLOv8's [n, 84, 8400]."),
    ] = False
    objectness: Annotated[
        bool,
        msgspec.Meta(
            description="The first score says whether there is anything at all, and the others are "
            "multiplied by it, as in YOLOv5's [n, places, 5 + classes]."
        ),
    ] = False
    min_score: Annotated[
        float, msgspec.Meta(ge=0, description="A place counts whose best score is above this.")
    ] = 0.25
    iou: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=1,
            description="Of two boxes whose intersection over union is above this, the worse falls "
            "out.",
        ),
    ] = 0.45
    per_class: Annotated[
        bool,
        msgspec.Meta(description="Only boxes of one class rival each other; false: all boxes do."),
    ] = True
    max: Annotated[
        int, msgspec.Meta(ge=1, le=10_000, description="How many detections a picture has at most.")
    ] = 100
    candidates: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            le=100_000,
            description="The best places of a picture that are looked at; the time grows with this "
            "times 'max'.",
        ),
    ] = 1000
    name: Annotated[
        str, msgspec.Meta(min_length=1, description="What the names of the results begin with.")
    ] = "detections"

    def after(self, info: ModelInfo) -> ModelInfo:
        """The four results in the place of boxes and scores; the classes take the scores' labels.

        Raises Misfit where the outputs are not there or not of such shapes.
        """
        self._check(info)
        source = self.scores or self.boxes
        batch = next(s.shape[:1] for s in info.outputs if s.name == self.boxes)
        kept = tuple(s for s in info.outputs if s.name not in {self.boxes, self.scores})
        results = (
            TensorSpec(f"{self.name}_boxes", "FP32", (*batch, self.max, _BOX)),
            TensorSpec(f"{self.name}_scores", "FP32", (*batch, self.max)),
            TensorSpec(f"{self.name}_classes", "INT64", (*batch, self.max)),
            TensorSpec(f"{self.name}_count", "INT64", batch),
        )
        if taken := {s.name for s in kept} & {s.name for s in results}:
            raise Misfit(f"there is an output {listed(sorted(taken))} already; choose another name")
        labels = {s.name: info.labels[s.name] for s in kept if s.name in info.labels}
        if names := info.labels.get(source):
            labels[f"{self.name}_classes"] = names
        return msgspec.structs.replace(info, outputs=(*kept, *results), labels=labels)

    def bind(self, info: ModelInfo) -> Kernel:
        """The kernel; raises BadAnswer for outputs of other shapes."""
        types = self._check(info)
        sources = {self.boxes, self.scores}

        def detections(tensors: Tensors) -> Tensors:
            places = self._places(tensors, types)
            found = [self._row(row, per) for row, per in zip(*places, strict=True)]
            count = len(found)
            boxes = np.zeros((count, self.max, _BOX), np.float32)
            scores = np.zeros((count, self.max), np.float32)
            classes = np.full((count, self.max), -1, np.int64)
            counts = np.zeros(count, np.int64)
            for at, (box, score, group) in enumerate(found):
                counts[at] = n = len(score)
                boxes[at, :n], scores[at, :n], classes[at, :n] = box, score, group
            return (
                *[tensor for tensor in tensors if tensor.name not in sources],
                made(f"{self.name}_boxes", "FP32", boxes),
                made(f"{self.name}_scores", "FP32", scores),
                made(f"{self.name}_classes", "INT64", classes),
                made(f"{self.name}_count", "INT64", counts),
            )

        return detections

    def _row(self, boxes: Array, scores: Array) -> tuple[Array, Array, Array]:
        """The detections of one picture: boxes [k, 4], scores [k], classes [k]."""
        classes = scores.argmax(axis=-1)
        best = np.take_along_axis(scores, classes[:, None], -1)[:, 0]
        corners = corners_of(boxes, self.form)
        # NaN is above nothing; a box that is not finite is nowhere.
        (counted,) = np.nonzero((best > self.min_score) & np.isfinite(corners).all(axis=-1))
        if len(counted) > self.candidates:
            order = np.argsort(-best[counted], kind="stable")[: self.candidates]
            counted = counted[order]
        kept = counted[
            suppress(
                corners[counted],
                best[counted],
                classes[counted],
                iou=self.iou,
                most=self.max,
                per_class=self.per_class,
            )
        ]
        return corners[kept], best[kept], classes[kept]

    def _places(self, tensors: Tensors, types: dict[str, str]) -> _Places:
        arrays = []
        for name in filter(None, (self.boxes, self.scores)):
            array = tensors[find(tensors, name, types[name])].array().astype(np.float32)
            if self.transposed and array.ndim == 3:
                array = array.swapaxes(1, 2)
            arrays.append(array)
        boxes = arrays[0]
        scores = boxes[..., _BOX:] if len(arrays) == 1 else arrays[1]
        if scores.ndim == 2:
            scores = scores[..., None]
        if self.objectness:
            scores = scores[..., 1:] * scores[..., :1]
        boxes = boxes[..., :_BOX]
        if boxes.ndim != 3 or boxes.shape[-1] != _BOX or scores.shape[:-1] != boxes.shape[:-1] or (
            not scores.shape[-1]
        ):  # fmt: skip
            shapes = ", ".join(f"'{t.name}' {list(t.shape)}" for t in tensors)
            raise BadAnswer(f"{shapes}: boxes and scores of equally many places are needed")
        return _Places(boxes, scores)

    def _check(self, info: ModelInfo) -> dict[str, str]:
        """The datatypes of boxes and scores; raises Misfit where they cannot be those."""
        specs = {spec.name: spec for spec in info.outputs}
        columns = -2 if self.transposed else -1
        least = _BOX + 1 + self.objectness
        for name, ranks, width in (
            (self.boxes, {3}, f"at least {least}" if not self.scores else "4"),
            (self.scores, {2, 3}, f"at least {1 + self.objectness}"),
        ):
            if not name:
                continue
            if (spec := specs.get(name)) is None:
                raise Misfit(f"there is no output '{name}' here, only {listed(list(specs))}")
            rank, given = len(spec.shape), spec.shape[columns] if len(spec.shape) == 3 else -1
            fits = given == -1 or (
                given == _BOX if width == "4" else given >= int(width.rpartition(" ")[2])
            )
            if spec.datatype not in FLOATS or rank not in ranks or not fits:
                raise Misfit(
                    f"output '{name}' is {spec.datatype}{list(spec.shape)}; expected floats, "
                    f"[n, places, columns] with {width} columns"
                    + (" (transposed: [n, columns, places])" if self.transposed else "")
                )
        return {name: specs[name].datatype for name in (self.boxes, self.scores) if name}
