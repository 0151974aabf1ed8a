# SPDX-License-Identifier: Apache-2.0
"""Non-maximum suppression: of boxes that cover the same thing, the one with the highest score."""

from __future__ import annotations

import numpy as np

from gateway.wire.tensor import Array


def suppress(
    boxes: Array, scores: Array, classes: Array, *, iou: float, most: int, per_class: bool
) -> Array:
    """Which boxes are kept, as indices, [at most *most*], highest score first.

    *boxes* are [n, 4] as x1, y1, x2, y2, *scores* and *classes* [n]. Greedy: the best box that is
    left is kept, and every other one whose intersection over union with it is above *iou* falls
    out; with *per_class* only boxes of one class rival each other. Among equal scores the earlier
    box goes first. A box of no area overlaps nothing.
    """
    order = np.argsort(-scores, kind="stable")
    corners = boxes[order].astype(np.float64)
    areas = np.prod(np.maximum(corners[:, 2:] - corners[:, :2], 0), axis=1)
    groups = classes[order]
    left = np.ones(len(order), bool)
    kept: list[int] = []
    for at in range(len(order)):
        if not left[at]:
            continue
        kept.append(at)
        if len(kept) == most:
            break
        shared = _intersection(corners[at], corners[at + 1 :])
        union = areas[at] + areas[at + 1 :] - shared
        # Compared as a product: a union may be 0.
        rivals = shared > iou * union
        if per_class:
            rivals &= groups[at + 1 :] == groups[at]
        left[at + 1 :] &= ~rivals
    chosen: Array = order[np.asarray(kept, np.intp)]
    return chosen


def _intersection(box: Array, others: Array) -> Array:
    """The area that *box*, [4], shares with each of *others*, [n, 4]."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    areas: Array = np.prod(np.maximum(sides, 0), axis=1)
    return areas


def corners_of(boxes: Array, form: str) -> Array:
    """*boxes* of *form*, [..., 4], as x1, y1, x2, y2.

    ``xywh`` is the upper left corner with width and height, ``cxcywh`` the centre with them.
    """
    if form == "xyxy":
        return boxes
    first, size = boxes[..., :2], boxes[..., 2:]
    corner = first - size / 2 if form == "cxcywh" else first
    return np.concatenate([corner, corner + size], axis=-1)
