# SPDX-License-Identifier: Apache-2.0
"""Records and columns by name as JSON: to one tensor for each column of a model's table.

A record is decoded by a struct that is made for the table, so that types are checked in C while
they are read; which row and column is at fault is looked for only once it is known that one is.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from gateway.errors import InvalidRequest
from gateway.wire.cell import UNUSABLE, refusal, settled, wrong, wrong_name
from gateway.wire.oip_json import MAX_DEPTH, depth_of, explain, packer
from gateway.wire.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.wire.model import Column, Table

_FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_KINDS: Final[dict[str, Any]] = {
    "FP64": float, "FP32": float, "INT64": int, "BOOL": bool, "BYTES": str,
}  # fmt: skip
# `struct` packs None as a truth value, and a text is packed by hand: these are looked at first.
_LOOKED_AT: Final = frozenset({"BOOL", "BYTES"})
_decode_columns = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class TableReader:
    """Reads what clients send for *table*; safe to call from any thread."""

    __slots__ = (
        "_colons", "_decode", "_gaps", "_lists", "_names", "_plain", "columns", "table",
    )  # fmt: skip

    def __init__(self, table: Table) -> None:
        self.table = table
        self.columns = {column.name: column for column in table.columns}
        self._names = tuple(self.columns)
        self._colons = sum(1 + name.count(":") for name in self._names)
        # Whether a record may be good without some of the names.
        self._gaps = any(column.missing != "error" for column in table.columns)
        self._plain = all(column.datatype == "FP64" for column in table.columns)
        kinds = [_kind(column) for column in table.columns]
        record = msgspec.defstruct(
            "Record",
            [(f"c{at}", kind | UnsetType, UNSET) for at, kind in enumerate(kinds)],
            rename={f"c{at}": name for at, name in enumerate(self._names)},
            forbid_unknown_fields=not table.ignore_unknown,
            gc=False,
        )
        self._decode: Callable[[bytes], list[Any]] = msgspec.json.Decoder(list[record]).decode  # type: ignore[valid-type]
        self._lists = {
            name: msgspec.json.Decoder(list[kind]).decode  # type: ignore[valid-type]
            for name, kind in zip(self._names, kinds, strict=True)
        }

    def __repr__(self) -> str:
        return f"<TableReader of {', '.join(self._names)}>"

    def instances(self, raw: msgspec.Raw, where: str) -> tuple[Tensor, ...]:
        """The columns of a list of records, or of one record alone; raises InvalidRequest.

        *where* is the member of the body that *raw* stands in.
        """
        text = bytes(raw)
        return self._records(text if text.startswith(b"[") else b"[%b]" % text, where)

    def by_column(self, raw: msgspec.Raw, where: str) -> tuple[Tensor, ...]:
        """The columns of an object with a list for each; raises InvalidRequest.

        An object whose values are no lists is one record, a list is one of records.
        """
        text = bytes(raw)
        if text.startswith(b"["):
            return self._records(text, where)
        try:
            given = _decode_columns(text)
        except _FAULTS as error:
            raise InvalidRequest(explain(error, where)) from None
        if not any(bytes(memoryview(value)[:1]) == b"[" for value in given.values()):
            return self._records(b"[%b]" % text, where)
        told = sum(1 + name.count(":") + bytes(value).count(b":") for name, value in given.items())
        if text.count(b":") != told or b"\\" in text:
            _check_unique(text, where)
        tensors: dict[str, Tensor] = {}
        for name, value in given.items():
            if name not in self.columns:
                self.pass_over(name)
                continue
            data, rows = self.column(name, value)
            tensors[name] = Tensor(name, self.columns[name].datatype, (rows,), data)
        return self.complete(tensors)

    def column(self, name: str, raw: msgspec.Raw) -> tuple[bytes, int]:
        """The buffer of the values of one column, and their number; raises InvalidRequest."""
        column = self.columns[name]
        try:
            values = self._lists[name](raw)
        except _FAULTS as error:
            values = _looked_through(column, bytes(raw), error)
        return pack_column(column, values), len(values)

    def pass_over(self, name: str) -> None:
        """Raise InvalidRequest for the unknown *name*, unless such are passed over."""
        if not self.table.ignore_unknown:
            raise InvalidRequest(wrong_name(name, self._names))

    def complete(self, given: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """The columns in *given* and those that may be missing, in the order of the table.

        Raises InvalidRequest for one that may not, and where the numbers of rows differ.
        """
        rows = {tensor.shape[0] for tensor in given.values()}
        if not rows:
            raise InvalidRequest(f"no column is given; expected {_some(self._names)}")
        if len(rows) > 1:
            few, many = (
                next(t.name for t in given.values() if t.shape[0] == extreme)
                for extreme in (min(rows), max(rows))
            )
            raise InvalidRequest(
                f"columns need equally many rows, but '{few}' has {min(rows)} and '{many}' "
                f"has {max(rows)}"
            )
        (count,) = rows
        return tuple([
            given[name] if name in given
            else Tensor(name, column.datatype, (count,), _absent(column, count))
            for name, column in self.columns.items()
        ])  # fmt: skip

    def _records(self, text: bytes, where: str) -> tuple[Tensor, ...]:
        try:
            records = self._decode(text)
        except _FAULTS as error:
            raise self._at_fault(text, where, error) from None
        count = len(records)
        shape = (count,)
        rows = [msgspec.structs.astuple(record) for record in records]
        told = count * self._colons
        if self._gaps:
            told -= sum([row.count(UNSET) for row in rows])
        if text.count(b":") != told or b"\\" in text:
            # Other colons than those of names: in texts, or of names that stand there twice.
            _check_unique(text, where)
        if self._plain and count:
            flat = rows[0] if count == 1 else chain.from_iterable(zip(*rows, strict=True))
            try:
                data = packer("FP64", count * len(self._names))(*flat)
            except UNUSABLE:
                pass
            else:
                size = 8 * count
                return tuple([
                    Tensor(name, "FP64", shape, data[at : at + size])
                    for name, at in zip(
                        self._names, range(0, size * len(self._names), size), strict=True
                    )
                ])  # fmt: skip
        values = zip(*rows, strict=True) if rows else ((),) * len(self._names)
        return tuple([
            Tensor(column.name, column.datatype, shape, pack_column(column, each))
            for column, each in zip(self.table.columns, values, strict=True)
        ])  # fmt: skip

    def _at_fault(self, text: bytes, where: str, error: Exception) -> InvalidRequest:
        """The refusal of *text*, of which msgspec said *error*: with row and column."""
        if isinstance(error, msgspec.ValidationError) and depth_of(text) <= MAX_DEPTH:
            try:
                rows = json.loads(text)
            except ValueError:
                # A number of more digits than any number has.
                return InvalidRequest(explain(error, where))
            for row, record in enumerate(rows):
                if not isinstance(record, dict):
                    return InvalidRequest(
                        f"{where}: row {row}: expected an object with a value for each column, "
                        f"got {refusal(record)}"
                    )
                for name, value in record.items():
                    if (column := self.columns.get(name)) is None:
                        if not self.table.ignore_unknown:
                            return InvalidRequest(f"row {row}, {wrong_name(name, self._names)}")
                    elif message := wrong(column, row, value):
                        return InvalidRequest(message)
        return InvalidRequest(explain(error, where))


def _kind(column: Column) -> Any:  # noqa: ANN401 - a type
    kind = _KINDS[column.datatype] | None
    return kind | str if column.text_numbers else kind


def pack_column(column: Column, values: Sequence[Any]) -> bytes:
    """The buffer of *values*, which are of the column's type, None for null or UNSET for nothing.

    Raises InvalidRequest for what the column's policies refuse.
    """
    datatype = column.datatype
    try:
        if datatype not in _LOOKED_AT or (None not in values and UNSET not in values):
            if datatype == "BYTES":
                return _texts(values)
            return packer(datatype, len(values))(*values)
    except UNUSABLE:
        pass
    try:
        return _with_gaps(column, values)
    except UNUSABLE:
        # Read one by one, so that the first at fault has a row.
        return b"".join([settled(column, row, value) for row, value in enumerate(values)])


def _with_gaps(column: Column, values: Sequence[Any]) -> bytes:
    """The buffer of *values*, some of which are null or not there.

    Raises what `UNUSABLE` lists for values that are not all of the column's own type then.
    """
    datatype = column.datatype
    substitutes = {
        gap: settled(column, values.index(gap), gap) for gap in (None, UNSET) if gap in values
    }
    if datatype == "BYTES":
        return _texts(values, substitutes)
    data = bytearray(
        packer(datatype, len(values))(*[
            0 if value is None or value is UNSET else value for value in values
        ])
    )  # fmt: skip
    size = len(data) // len(values)
    for row, value in enumerate(values):
        if value is None or value is UNSET:
            data[row * size : row * size + size] = substitutes[value]
    return bytes(data)


def _texts(values: Sequence[Any], substitutes: Mapping[Any, bytes] | None = None) -> bytes:
    """The BYTES buffer of texts; each that is there more than once is encoded once."""
    elements = dict(substitutes or {})
    for text in {*values} - elements.keys():
        raw = text.encode()
        elements[text] = len(raw).to_bytes(4, "little") + raw
    return b"".join([elements[value] for value in values])


def _absent(column: Column, rows: int) -> bytes:
    """The buffer of a column that no row has a value for; raises InvalidRequest."""
    if column.missing == "error":
        raise InvalidRequest(f"column '{column.name}' is missing")
    return settled(column, 0, UNSET) * rows


def _looked_through(column: Column, raw: bytes, error: Exception) -> list[Any]:
    """The values of *raw* where they are nested ``[n, 1]``; raises InvalidRequest otherwise."""
    if isinstance(error, msgspec.ValidationError) and depth_of(raw) <= MAX_DEPTH:
        try:
            values = json.loads(raw)
        except ValueError:
            raise InvalidRequest(explain(error, f"column '{column.name}'")) from None
        if not isinstance(values, list):
            raise InvalidRequest(
                f"column '{column.name}': expected a list with a value for each row, "
                f"got {refusal(values)}"
            )
        if all(isinstance(value, list) and len(value) == 1 for value in values):
            values = [value for (value,) in values]
        for row, value in enumerate(values):
            if message := wrong(column, row, value):
                raise InvalidRequest(message)
        return values
    raise InvalidRequest(explain(error, f"column '{column.name}'"))


def _check_unique(text: bytes, where: str) -> None:
    """Raise InvalidRequest where an object of *text* has a name twice."""

    def check(pairs: list[tuple[str, Any]]) -> None:
        names: set[str] = set()
        for name, _ in pairs:
            if name in names:
                raise InvalidRequest(f"{where}: '{name[:64]}' stands twice in one object")
            names.add(name)

    json.loads(text, object_pairs_hook=check)


def _some(names: Sequence[str]) -> str:
    listed = ", ".join(f"'{name}'" for name in names[:8])
    return listed if len(names) <= 8 else f"{listed} and {len(names) - 8} more"
