# SPDX-License-Identifier: Apache-2.0
"""Block: predictions of one model file in one role as they lie in the ledger.

A column that is the same in all rows takes no room, a number no more than it needs, a UUID 16
bytes. Labels are not in it: they are kept apart.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import numpy as np

from gateway.quality.keys import Ids, dense
from gateway.wire.samples import Column, Samples

if TYPE_CHECKING:
    from collections.abc import Sequence

# The most rows of a block: what is read to join one label, and what retention takes at once.
ROWS: Final = 512
# Lists of which each row has a place, by the column with the places.
_LISTS: Final = {"endpoint": "endpoints", "tenant": "tenants", "slice": "slices"}
Kind: TypeAlias = tuple[Any, ...]


def kind(samples: Samples) -> Kind:
    """What samples must have in common to lie in one block."""
    scores = samples.scores
    return (
        samples.model, samples.name, samples.digest, samples.version, samples.role,
        samples.live_digest, samples.predicted.dtype.str,
        None if scores is None else scores.shape[1],
        samples.columns is None, samples.live is None, samples.distance is None,
    )  # fmt: skip


def part(samples: Samples, rows: slice) -> Samples:
    """The *rows* of *samples*, without labels."""
    picked: dict[str, Any] = {name: column[rows] for name, column in samples.all_columns()}
    return replace(samples, ids=samples.ids[rows], labels=None, **picked)


def together(parts: list[Samples]) -> Samples:
    """*parts*, all of one kind, one after the other, without labels."""
    first = parts[0]
    ids = [id_ for each in parts for id_ in each.ids]
    return replace(first, ids=ids, labels=None, **columns(parts, [slice(None)] * len(parts)))


def columns(parts: Sequence[Samples], rows: Sequence[slice | Column]) -> dict[str, Any]:
    """The *rows* of each of *parts*, all of one kind, as columns one after the other by name.

    With them come the lists that they have places in; the ids do not.
    """
    first = parts[0]
    merged: dict[str, Any] = {}
    for name, _ in first.all_columns():
        pieces = [getattr(each, name)[own] for each, own in zip(parts, rows, strict=True)]
        names = _LISTS.get(name)
        if names is not None:
            lists = [getattr(each, names) for each in parts]
            merged[names] = lists[0]
            if any(each != lists[0] for each in lists):
                merged[names] = union = _union(lists)
                pieces = [
                    np.array([union.index(each) for each in own], np.uint16)[piece]
                    for own, piece in zip(lists, pieces, strict=True)
                ]
        merged[name] = np.concatenate(pieces)
    return merged


def _union(lists: list[list[Any]]) -> list[Any]:
    union: list[Any] = []
    for own in lists:
        union.extend(each for each in own if each not in union)
    return union


def pack(samples: Samples) -> bytes:
    """*samples* as they are written."""
    plain: dict[str, Any] = {}
    for each in fields(samples):
        value = getattr(samples, each.name)
        if each.name == "labels":
            continue
        if each.name == "ids":
            value = dense(value)
            value = _packed(value.data) if isinstance(value, Ids) else list(value)
        elif isinstance(value, np.ndarray):
            value = _packed(value)
        plain[each.name] = value
    return msgspec.msgpack.encode(plain)


def unpack(data: bytes) -> Samples:
    """What `pack` has made *data* of; raises ValueError for anything else."""
    try:
        plain = msgspec.msgpack.decode(data)
        for name, value in plain.items():
            if isinstance(value, msgspec.msgpack.Ext):
                plain[name] = _unpacked(value)
        if not isinstance(plain["ids"], list):
            plain["ids"] = Ids(plain["ids"])
        return Samples(**plain)
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a block of predictions: {error}") from None


_ARRAY: Final = 1


def _packed(column: Column) -> msgspec.msgpack.Ext:
    told = narrow = column
    if len(column) > 1 and bool((column == column[:1]).all()):
        narrow = column[:1]
    if narrow.dtype.kind in "iu" and narrow.dtype.itemsize > 1 and narrow.size:
        narrow = narrow.astype(
            np.result_type(np.min_scalar_type(narrow.min()), np.min_scalar_type(narrow.max()))
        )
    content = (told.dtype.str, told.shape, narrow.dtype.str, np.ascontiguousarray(narrow).tobytes())
    return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode(content))


def _unpacked(value: msgspec.msgpack.Ext) -> Column:
    kind_, shape, narrow, data = msgspec.msgpack.decode(value.data)
    dtype = np.dtype(narrow)
    if dtype.hasobject:
        raise ValueError("a column of objects")
    column = np.frombuffer(data, dtype=dtype)
    if len(shape) > 1:
        column = column.reshape(-1, *shape[1:])
    column = column.astype(kind_, copy=False)
    return column if len(column) == shape[0] else np.repeat(column, shape[0], axis=0)
