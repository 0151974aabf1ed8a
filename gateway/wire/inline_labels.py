# SPDX-License-Identifier: Apache-2.0
"""Inline labels: what was true, sent together with the question.

v2 has the request parameter ``label`` for a request of one row, and an input `INPUT` with one label
a row, or one row of labels. Neither is part of the question: model, steps and cache see none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.errors import InvalidRequest
from gateway.wire.model import TensorSpec
from gateway.wire.signature import InputCheck
from gateway.wire.tensor import ITEM_SIZE, Tensor, numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

PARAMETER: Final = "label"
INPUT: Final = "infergate.label"
# Characters of a label that is a text; names of classes are much shorter.
LONGEST: Final = 4096
# Labels of one row.
_MOST: Final = 65_535


def label_check(datatype: str, shape: tuple[int, ...]) -> InputCheck:
    """How the input of labels is checked; raises InvalidRequest for another datatype or rank."""
    if datatype not in ITEM_SIZE:
        raise InvalidRequest(f"input '{INPUT}': '{datatype[:16]}' is not a datatype")
    if len(shape) not in {1, 2}:
        raise InvalidRequest(
            f"input '{INPUT}': a shape of {len(shape)} dimensions given; expected [rows], or "
            "[rows, labels]"
        )
    return InputCheck(TensorSpec(INPUT, datatype, (-1,) * len(shape)))


def given_labels(parameter: Any, tensor: Tensor | None, rows: int) -> tuple[Any, ...] | None:  # noqa: ANN401 - any JSON scalar
    """The label of each of *rows* rows; None where neither *parameter* nor *tensor* has one.

    A row may be without: its label is None, in the tensor an empty text or no number. Raises
    InvalidRequest.
    """
    if tensor is None:
        if parameter is None:
            return None
        if rows != 1:
            raise InvalidRequest(
                f"parameter '{PARAMETER}' is the label of one row, and there are {rows}; send them "
                f"as the input '{INPUT}'"
            )
        return (_text(parameter),) if isinstance(parameter, str) else (parameter,)
    if parameter is not None:
        raise InvalidRequest(
            f"labels are given twice, as the parameter '{PARAMETER}' and as the input '{INPUT}'"
        )
    if tensor.shape[0] != rows:
        raise InvalidRequest(
            f"input '{INPUT}': {tensor.shape[0]} labels for {rows} rows; expected one for each"
        )
    array = numbers(tensor)
    if len(tensor.shape) == 1 or tensor.shape[1] == 1:
        return tuple([_label(each) for each in array.reshape(rows).tolist()])
    if tensor.shape[1] > _MOST:
        raise InvalidRequest(f"input '{INPUT}': more than {_MOST} labels of one row")
    return tuple([_several(each) for each in array.tolist()])


def _several(labels: Sequence[Any]) -> list[Any] | None:
    """The labels of one row, those left out that are none; None where it has none at all."""
    found = [label for each in labels if (label := _label(each)) is not None]
    return found or None


def _label(value: Any) -> Any:  # noqa: ANN401 - an element of any datatype
    if isinstance(value, bytes):
        try:
            return _text(value.decode()) if value else None
        except UnicodeDecodeError:
            raise InvalidRequest(f"input '{INPUT}': a label is not UTF-8") from None
    # Only what is no number differs from itself.
    return None if value != value else value  # noqa: PLR0124


def _text(label: str) -> str | None:
    if len(label) > LONGEST:
        raise InvalidRequest(f"a label has {len(label)} characters; expected at most {LONGEST}")
    return label or None
