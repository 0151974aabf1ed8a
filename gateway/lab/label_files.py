# SPDX-License-Identifier: Apache-2.0
"""Label files: CSV, NDJSON, JSON and npz as batches of labels, read while they are sent."""

from __future__ import annotations

import csv
import json
import sys
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeAlias

import numpy as np

from gateway.lab import LabError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Item: TypeAlias = dict[str, Any]

STDIN: Final = "-"
# What an item may say; other columns of a table are left out.
FIELDS: Final = (
    "id", "inference_id", "row", "label", "value", "labels", "time", "label_time", "source",
    "weight", "supersedes", "model",
)  # fmt: skip
_WHOLE: Final = frozenset({"row", "supersedes"})
_NUMBERS: Final = frozenset({"weight"})
_ARRAY: Final = "["


class LabelFile:
    """The labels in *path*, ``-`` for standard input; *rename* says which column is which field."""

    def __init__(self, path: str, rename: dict[str, str] | None = None) -> None:
        self.path = path
        self._rename = rename or {}

    def __repr__(self) -> str:
        return f"<LabelFile {self.path}>"

    @property
    def size(self) -> int | None:
        """Its bytes, None where they are not known."""
        try:
            return None if self.path == STDIN else Path(self.path).stat().st_size
        except OSError as error:
            raise LabError(f"{self.path}: {error.strerror}") from error

    def batches(self, size: int) -> Iterator[tuple[list[Item], int]]:
        """*size* labels at a time, and how many bytes of the file were read until then.

        Raises LabError, which names the line.
        """
        if self.path.endswith(".npz"):
            items = list(self._arrays())
            for start in range(0, len(items), size):
                yield items[start : start + size], (self.size or 0) * (start + size) // len(items)
            return
        with self._opened() as file:
            read = self._items(file)
            while batch := list(islice(read, size)):
                yield batch, file.buffer.tell() if file.seekable() else 0

    @contextmanager
    def _opened(self) -> Iterator[TextIO]:
        try:
            if self.path == STDIN:
                yield sys.stdin
                return
            with Path(self.path).open(encoding="utf-8-sig", newline="") as file:
                yield file
        except OSError as error:
            raise LabError(f"{self.path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise LabError(f"{self.path}: not UTF-8: byte {error.start}") from error

    def _items(self, file: TextIO) -> Iterator[Item]:
        first = ""
        for first in iter(file.readline, ""):
            if first.strip():
                break
        start = first.lstrip()[:1]
        if start == _ARRAY:
            yield from self._array(first + file.read())
        elif start == "{":
            yield from self._lines(first, file)
        elif first:
            yield from self._table(first, file)
        else:
            raise LabError(f"{self.path}: is empty; expected labels")

    def _array(self, text: str) -> Iterator[Item]:
        try:
            items = json.loads(text)
        except ValueError as error:
            raise LabError(f"{self.path}: not JSON: {error}") from error
        for item in items:
            yield self._renamed(item, "an item")

    def _lines(self, first: str, file: TextIO) -> Iterator[Item]:
        for number, line in enumerate(_behind(first, file), 1):
            if not line.strip():
                continue
            try:
                item = json.loads(line)
            except ValueError as error:
                raise LabError(f"{self.path}:{number}: not JSON: {error}") from error
            yield self._renamed(item, f"line {number}")

    def _renamed(self, item: Any, where: str) -> Item:  # noqa: ANN401 - whatever is there
        if not isinstance(item, dict):
            raise LabError(f"{self.path}: {where} is no object; expected id and label in each")
        return {self._rename.get(str(name), str(name)): value for name, value in item.items()}

    def _table(self, first: str, file: TextIO) -> Iterator[Item]:
        rows = csv.DictReader(_behind(first, file), strict=True, restval="")
        names = [self._rename.get(name, name) for name in rows.fieldnames or ()]
        rows.fieldnames = names
        if not {"id", "inference_id"} & set(names):
            raise LabError(
                f"{self.path}: no column 'id' in the first line, which has {', '.join(names)}; "
                "say which it is with --id"
            )
        if not {"label", "value", "labels"} & set(names):
            raise LabError(
                f"{self.path}: no column 'label' in the first line, which has {', '.join(names)}; "
                "say which it is with --label"
            )
        try:
            for row in rows:
                yield self._row(row, rows.line_num)
        except csv.Error as error:
            raise LabError(f"{self.path}:{rows.line_num}: {error}") from error

    def _row(self, row: dict[str | Any, Any], line: int) -> Item:
        item: Item = {}
        for name in FIELDS:
            text = row.get(name) or ""
            if name == "labels" and name in row:
                item[name] = [each for each in text.split("|") if each]
            elif text:
                try:
                    item[name] = (
                        int(text) if name in _WHOLE
                        else float(text) if name in _NUMBERS or _is_time(name, text)
                        else text
                    )  # fmt: skip
                except ValueError:
                    what = f"{name} '{text[:40]}' is no number"
                    raise LabError(f"{self.path}:{line}: {what}") from None
        return item

    def _arrays(self) -> Iterator[Item]:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {self._rename.get(name, name): file[name] for name in file.files}
        except (OSError, ValueError) as error:
            raise LabError(f"{self.path}: not an npz file of arrays: {error}") from error
        columns = {name: arrays[name].tolist() for name in FIELDS if name in arrays}
        if not {"id", "inference_id"} & columns.keys() or not {"label", "value", "labels"} & set(
            columns
        ):
            raise LabError(
                f"{self.path}: has {', '.join(arrays) or 'nothing'}; expected arrays 'id' and "
                "'label', or say which they are with --id and --label"
            )
        lengths = {len(column) for column in columns.values()}
        if len(lengths) != 1:
            raise LabError(
                f"{self.path}: its arrays have {sorted(lengths)} rows; expected equally many"
            )
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))


def _behind(first: str, file: Iterable[str]) -> Iterator[str]:
    yield first
    # Not by iterating over it, so that where it is can be told.
    read = getattr(file, "readline", None)
    yield from iter(read, "") if read is not None else file


def _is_time(name: str, text: str) -> bool:
    if name not in {"time", "label_time"}:
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True
