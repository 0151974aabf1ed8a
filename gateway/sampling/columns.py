# SPDX-License-Identifier: Apache-2.0
"""Columns: notes of answered requests become samples, as many at once as are alike.

A note costs about a microsecond here, a row of a batch much less: Python goes over the notes, numpy
over the rows.
"""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.wire.samples import CACHED, FULL, Samples
from gateway.wire.tensor import NUMPY, split_elements

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.sampling.note import Note
    from gateway.sampling.reading import Read, Reader
    from gateway.wire.samples import Column, Role
    from gateway.wire.tensor import Array, Tensor

# Classes up to which the probabilities of all are kept, and how many are beyond that.
ALL_CLASSES: Final = 64
TOP: Final = 16
_KEY: Final = 16
# An odd number, so that no two rows of a batch get the same: 2^64 by the golden ratio.
_SPREAD: Final = 0x9E37_79B9_7F4A_7C15
_WRAP: Final = (1 << 64) - 1

# (name, datatype, what a row is) of each output.
Form = tuple[tuple[str, str, tuple[int, ...]], ...]


def form_of(outputs: Sequence[Tensor], *, bare: bool) -> Form:
    """What *outputs* are, the number of their rows left out."""
    return tuple([
        (each.name, each.datatype, each.shape if bare else each.shape[1:]) for each in outputs
    ])  # fmt: skip


class Group:
    """Notes that can be read together, and their *places* among all.

    *spans* are where their rows are, in order: the outputs of a batch with the first row and the
    one behind the last, or those of a whole answer with None.
    """

    __slots__ = ("notes", "places", "spans")

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.places: list[int] = []
        self.spans: list[tuple[tuple[Tensor, ...], int, int | None]] = []

    def __repr__(self) -> str:
        return f"<Group {len(self.notes)} notes in {len(self.spans)} spans>"


def groups(notes: Iterable[Note], *, bare: bool) -> dict[tuple[str, str, Form], Group]:
    """*notes* by digest, version and form: what can be read together."""
    found: dict[tuple[str, str, Form], Group] = {}
    last: tuple[Tensor, ...] | None = None
    group = Group()
    start = stop = 0
    for at, note in enumerate(notes):
        row = note.row
        # Rows of one batch follow each other, and are alike.
        if row < 0 or note.outputs is not last:
            if last is not None:
                group.spans.append((last, start, stop))
            outputs = note.outputs
            last = None if row < 0 else outputs
            key = (note.digest, note.version, form_of(outputs, bare=bare))
            known = found.get(key)
            group = found.setdefault(key, Group()) if known is None else known
            if row < 0:
                group.spans.append((outputs, 0, None))
            start, stop = row, row + 1
        elif row == stop:
            stop += 1
        else:
            group.spans.append((note.outputs, start, stop))
            start, stop = row, row + 1
        group.notes.append(note)
        group.places.append(at)
    if last is not None:
        group.spans.append((last, start, stop))
    return found


def read(reader: Reader, form: Form, group: Group, rows: int) -> Read | None:
    """What the answers of *group* say, *rows* rows in all; None where they do not say it.

    Raises ValueError where they have other rows than their requests.
    """
    plan = reader.plan
    if plan is None:
        return None
    wanted = set(plan.names)
    arrays = {
        name: _array(group, at, datatype, row, rows)
        for at, (name, datatype, row) in enumerate(form)
        if name in wanted
    }
    return reader.read(arrays)


def _array(group: Group, at: int, datatype: str, row: tuple[int, ...], rows: int) -> Array:
    """Output *at* of all answers of *group*, [rows, …]."""
    if datatype == "BYTES":
        # Elements of different sizes are never cut from a batch.
        elements = list(chain.from_iterable(
            split_elements(tensors[at].data, _count(tensors[at].shape), tensors[at].name)
            for tensors, _, _ in group.spans
        ))  # fmt: skip
        texts = np.empty(len(elements), dtype=object)
        texts[:] = elements
        return texts.reshape(rows, *row)
    parts: list[Any] = []
    for tensors, start, stop in group.spans:
        tensor = tensors[at]
        if stop is None:
            parts.append(tensor.data)
        else:
            size = len(tensor.data) // tensor.rows
            parts.append(memoryview(tensor.data)[start * size : stop * size])
    array = np.frombuffer(b"".join(parts), NUMPY[datatype]).reshape(rows, *row)
    # BF16 is the upper half of a float32.
    return (array.astype(np.uint32) << 16).view(np.float32) if datatype == "BF16" else array


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count


def samples(
    notes: Sequence[Note],
    found: Read,
    *,
    model: str,
    name: str,
    role: Role,
    digest: str,
    version: str,
    slices: list[dict[str, str]],
) -> Samples:
    """The answers of *notes*, of one model file, as the samples that are handed over."""
    counts = [note.rows for note in notes]
    total = sum(counts)
    single = total == len(notes)

    def by_row(values: list[Any], dtype: Any) -> Column:  # noqa: ANN401 - any dtype
        column = np.array(values, dtype=dtype)
        return column if single else np.repeat(column, counts)

    def listed(values: list[str]) -> tuple[list[str], Column]:
        places = {value: place for place, value in enumerate(dict.fromkeys(values))}
        if len(places) == 1:
            return [values[0]], np.zeros(total, dtype=np.uint16)
        return list(places), by_row([places[value] for value in values], np.uint16)

    ids = [note.id for note in notes]
    rows = np.zeros(total, dtype=np.uint32)
    if not single:
        ids = list(chain.from_iterable(map(repeat, ids, counts)))
        rows = np.concatenate([np.arange(count, dtype=np.uint32) for count in counts])
    endpoints, endpoint = listed([note.endpoint for note in notes])
    tenants, tenant = listed([note.tenant for note in notes])
    used, slice_ = np.unique(by_row([note.slice for note in notes], np.uint16), return_inverse=True)
    scores, columns = quantised(found)
    return Samples(
        model=model,
        name=name,
        digest=digest,
        version=version,
        role=role,
        ids=ids,
        rows=rows,
        times=by_row([note.time for note in notes], np.float64),
        endpoints=endpoints,
        endpoint=endpoint,
        tenants=tenants,
        tenant=tenant,
        slices=[slices[place] for place in used.tolist()],
        slice=slice_.astype(np.uint16),
        flags=by_row([CACHED if note.cached else 0 for note in notes], np.uint8),
        pi=by_row([note.pi for note in notes], np.float32),
        question=_questions(notes, total, single=single),
        predicted=found.predicted,
        scores=scores,
        columns=columns,
        labels=_labels(notes),
    )


def _labels(notes: Sequence[Note]) -> list[Any] | None:
    if all(note.labels is None for note in notes):
        return None
    return list(chain.from_iterable(
        repeat(None, note.rows) if note.labels is None else note.labels for note in notes
    ))  # fmt: skip


def _questions(notes: Sequence[Note], total: int, *, single: bool) -> Column:
    """Half of each row's key; what is keyed as a whole has one for each of its rows."""
    keys = [note.key for note in notes]
    if not any(keys):
        return np.zeros(total, dtype=np.uint64)
    if single and all(key is not None and len(key) == _KEY for key in keys):
        return np.frombuffer(b"".join(filter(None, keys)), "<u8")[::2].astype(np.uint64)
    questions: list[int] = []
    for note in notes:
        key, rows = note.key, note.rows
        if key is None:
            questions += [0] * rows
        elif len(key) == _KEY * rows:
            questions += [_half(key[at : at + _KEY]) for at in range(0, len(key), _KEY)]
        else:
            whole = _half(key[:_KEY])
            questions += [(whole + row * _SPREAD) & _WRAP for row in range(rows)]
    return np.array(questions, dtype=np.uint64)


def _half(key: bytes) -> int:
    return int.from_bytes(key[: _KEY // 2], "little")


def quantised(found: Read) -> tuple[Column | None, Column | None]:
    """The probabilities as parts of `FULL`, and of which classes they are where not of all."""
    values, columns = found.probabilities, found.columns
    if values is None:
        return None, None
    if columns is not None:
        # A class that nobody has configured has no place.
        values = np.where(columns < 0, 0.0, values)
        columns = np.maximum(columns, 0)
    elif values.shape[1] > ALL_CLASSES and found.predicted.dtype != np.uint64:
        highest = np.argpartition(values, -TOP, axis=1)[:, -TOP:]
        order = np.argsort(-np.take_along_axis(values, highest, axis=1), axis=1, kind="stable")
        columns = np.take_along_axis(highest, order, axis=1)
        values = np.take_along_axis(values, columns, axis=1)
    scores = np.rint(values * FULL).astype(np.uint16)
    return scores, None if columns is None else columns.astype(np.uint16)


def distance(live: Read, shadow: Read) -> Column | None:
    """The largest difference of a probability, or that of the values, of each row [n] float32."""
    if live.predicted.dtype == np.float64:
        return np.asarray(np.abs(live.predicted - shadow.predicted), dtype=np.float32)
    one, other = live.probabilities, shadow.probabilities
    if one is None or other is None or live.columns is not None or shadow.columns is not None:
        return None
    return np.asarray(np.abs(one - other).max(axis=1), dtype=np.float32)
