# SPDX-License-Identifier: Apache-2.0
"""Items: labels as they are sent, in JSON, NDJSON, CSV and SageMaker's records, one by one.

An item that is not right is refused alone: the others of a batch count.
"""

from __future__ import annotations

import csv
import io
import math
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

T = TypeVar("T")

# An id, a source and a tenant are told in metrics, answers and indexes.
LONGEST_ID: Final = 512
_LONGEST_SOURCE: Final = 64
_MOST_ROW: Final = 2**32 - 1
_MOST_WEIGHT: Final = 1e9
# Beyond it a time is in milliseconds: the year 5138.
_MOST_TIME: Final = 1e11
# Items of one request: what is held in memory at once.
MOST: Final = 100_000
# A set of labels in one field of a file.
_BETWEEN: Final = "|"


class Item(msgspec.Struct, forbid_unknown_fields=True):
    """One label as it is sent; see `docs/reference/labels.md`."""

    id: str | int | None = None
    inference_id: str | int | None = None
    row: int = 0
    label: Any = msgspec.UNSET
    value: Any = msgspec.UNSET
    labels: Any = msgspec.UNSET
    time: float | str | None = None
    label_time: float | str | None = None
    source: str = ""
    weight: float = 1.0
    supersedes: int | None = None
    model: str = ""


class Sent(msgspec.Struct):
    """A label that is well-formed: *value* of row *row* of the prediction *id*.

    *time* is None where it was not said.
    """

    id: str
    row: int
    value: Any
    source: str = ""
    model: str = ""
    time: float | None = None
    weight: float = 1.0
    supersedes: int | None = None


class Refused(msgspec.Struct):
    """An item that is not right: *reason* says what of it, and what would be."""

    id: str
    row: int
    reason: str


Read: TypeAlias = Sent | Refused


class BadLabels(Exception):
    """A body that holds no items at all; the message says what would."""


_many: Final = msgspec.json.Decoder(list[Item])
_raw_many: Final = msgspec.json.Decoder(list[msgspec.Raw])
_one: Final = msgspec.json.Decoder(Item)
_any: Final = msgspec.json.Decoder()


def read_json(body: bytes, *, model: str = "") -> list[Read]:
    """The items of one object, or of an array; raises BadLabels."""
    start = body.lstrip()[:1]
    if start == b"[":
        try:
            return [_checked(item, model) for item in _limited(_read(_many, body))]
        except msgspec.ValidationError:
            # Which of them it was is found one by one.
            return [_each(bytes(raw), model) for raw in _limited(_read(_raw_many, body))]
    if start != b"{":
        raise BadLabels("expected an object, an array of objects, or one object a line")
    try:
        return [_each(body, model)]
    except BadLabels:
        # Several objects, one a line, whatever they are called.
        if b"}\n" in body or b"}\r\n" in body:
            return read_lines(body, model=model)
        raise


def read_lines(body: bytes, *, model: str = "") -> list[Read]:
    """The items of one object a line; raises BadLabels where a line is no JSON."""
    lines = [line for line in body.splitlines() if line.strip()]
    found: list[Read] = []
    for number, line in enumerate(_limited(lines), 1):
        try:
            found.append(_each(line, model))
        except BadLabels as error:
            raise BadLabels(f"line {number}: {error}") from None
    return found


def read_csv(body: bytes, *, model: str = "") -> list[Read]:
    """The items of a table with a line of names; raises BadLabels.

    Columns that are not those of an item are left alone. A set of labels is written with ``|``.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadLabels(f"not UTF-8: byte {error.start}") from None
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True, restval="")
    try:
        names = rows.fieldnames or []
        if not {"id", "inference_id"} & set(names):
            raise BadLabels("the first line has no column id, or inference_id")
        if not {"label", "value", "labels"} & set(names):
            raise BadLabels("the first line has no column label, value or labels")
        return [_row(row, model) for row in _limited(list(rows))]
    except csv.Error as error:
        raise BadLabels(f"line {rows.line_num}: {error}") from None


def _row(row: dict[str | Any, Any], model: str) -> Read:
    item = Item()
    named = str(row.get("inference_id") or row.get("id") or "")
    try:
        item.id = named
        item.row = int(row.get("row") or 0)
        if (labels := row.get("labels")) is not None:
            item.labels = [each for each in str(labels).split(_BETWEEN) if each]
        elif (value := row.get("value") or row.get("label") or "") != "":
            item.value = value
        time = str(row.get("time") or row.get("label_time") or "")
        item.time = _float(time) if time else None
        item.source = row.get("source") or ""
        item.weight = float(row.get("weight") or 1)
        item.supersedes = int(row["supersedes"]) if row.get("supersedes") else None
        item.model = row.get("model") or ""
    except ValueError as error:
        return Refused(named[:LONGEST_ID], 0, f"a field is not what it must be: {error}")
    return _checked(item, model)


def _float(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _each(body: bytes, model: str) -> Read:
    """One item; raises BadLabels where it is no JSON."""
    try:
        return _checked(_read(_one, body), model)
    except msgspec.ValidationError as error:
        plain = _read(_any, body)
        if not isinstance(plain, dict):
            return Refused("", 0, str(error))
        if "groundTruthData" in plain:
            return _ground_truth(plain, model)
        id_, row = plain.get("id") or plain.get("inference_id") or "", plain.get("row")
        return Refused(str(id_)[:LONGEST_ID], row if isinstance(row, int) else 0, str(error))


def _read(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """What *decoder* makes of *body*; raises BadLabels, and ValidationError for other JSON."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadLabels(f"not JSON: {error}") from None


def _ground_truth(record: dict[str, Any], model: str) -> Read:
    """A label as Amazon SageMaker's model monitor takes it."""
    about, data = record.get("eventMetadata"), record.get("groundTruthData")
    if not isinstance(about, dict) or not isinstance(data, dict):
        return Refused("", 0, "expected groundTruthData and eventMetadata, both of them objects")
    id_ = about.get("inferenceId") or about.get("eventId") or ""
    if data.get("encoding", "CSV") != "CSV":
        return Refused(
            str(id_)[:LONGEST_ID], 0, f"encoding {str(data['encoding'])[:32]!r}: expected 'CSV'"
        )
    return _checked(Item(id=id_, value=data.get("data", msgspec.UNSET)), model)


def _checked(item: Item, model: str) -> Read:
    named = item.inference_id if item.id is None else item.id
    id_ = "" if named is None else str(named)
    row = item.row
    if not id_ or len(id_) > LONGEST_ID or "\0" in id_ or _surrogates(id_):
        return Refused(
            id_[:64].encode("utf-8", "replace").decode(), row,
            f"id: expected that of a prediction, 1 to {LONGEST_ID} characters",
        )  # fmt: skip
    if not 0 <= row <= _MOST_ROW:
        return Refused(id_, 0, f"row {row}: expected the place in the request, from 0")
    given = [each for each in (item.label, item.value, item.labels) if each is not msgspec.UNSET]
    if len(given) != 1 or given[0] is None:
        return Refused(id_, row, "expected one of label, value and labels, and not null")
    value = given[0]
    if item.labels is not msgspec.UNSET and not isinstance(value, list):
        return Refused(id_, row, "labels: expected a list")
    if len(item.source) > _LONGEST_SOURCE or not item.source.isprintable():
        return Refused(
            id_, row, f"source: expected at most {_LONGEST_SOURCE} characters that can be printed"
        )
    if not 0 < item.weight <= _MOST_WEIGHT:
        return Refused(id_, row, f"weight {item.weight:g}: expected a number above 0")
    try:
        time = _time(item.label_time if item.time is None else item.time)
    except ValueError as error:
        return Refused(id_, row, f"time: {error}")
    return Sent(
        id=id_, row=row, value=value, source=item.source, model=item.model or model,
        time=time, weight=item.weight, supersedes=item.supersedes,
    )  # fmt: skip


def _time(given: float | str | None) -> float | None:
    if given is None:
        return None
    if isinstance(given, str):
        try:
            when = datetime.fromisoformat(given)
        except ValueError:
            raise ValueError(
                f"'{given[:40]}' is none; expected 2026-01-31T12:00:00Z, or seconds since 1970"
            ) from None
        if when.tzinfo is None:
            raise ValueError(f"'{given[:40]}' has no zone; expected one, such as a Z at its end")
        return when.timestamp()
    if not math.isfinite(given) or not 0 <= given <= _MOST_TIME:
        raise ValueError(f"{given:g}: expected seconds since 1970")
    return given


def _surrogates(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)


def _limited(items: list[Any]) -> list[Any]:
    if len(items) > MOST:
        raise BadLabels(f"{len(items)} labels in one request; expected at most {MOST}")
    return items
