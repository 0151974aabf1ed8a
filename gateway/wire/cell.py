# SPDX-License-Identifier: Apache-2.0
"""Cell: one value of one row of one column, and what to say where it is none."""

from __future__ import annotations

import re
import struct
import sys
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from gateway.errors import InvalidRequest
from gateway.wire.null import NULL
from gateway.wire.oip_json import CODE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.wire.model import Column

# What packing says of values that are not all there, or not all in range.
UNUSABLE: Final = (struct.error, OverflowError, UnicodeEncodeError)

_WANTED: Final = {
    "FP64": "a number", "FP32": "a number", "INT64": "a whole number",
    "BOOL": "true or false", "BYTES": "text",
}  # fmt: skip
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "FP64": (int, float), "FP32": (int, float), "INT64": (int,), "BOOL": (bool,), "BYTES": (str,),
}  # fmt: skip
_NUMBER: Final = re.compile(r"[-+]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][-+]?\d{1,4})?")
_WHOLE: Final = re.compile(r"[-+]?\d{1,20}")
_LONGEST_SHOWN: Final = 40
_MOST: Final = sys.float_info.max


def settled(column: Column, row: int, value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """The buffer of one *value* of *column*; of what the column's policies put in its place.

    *value* is None for null and UNSET where there is none. Raises InvalidRequest.
    """
    datatype = column.datatype
    if value is None or value is UNSET:
        policy = column.null if value is None else column.missing
        if policy == "keep":
            return NULL[datatype]
        if policy == "error":
            word = "is null" if value is None else "is missing"
            raise InvalidRequest(f"{_place(column, row)} {word}; expected {_WANTED[datatype]}")
        value = column.default
    elif isinstance(value, str) and datatype != "BYTES":
        value = _number(column, row, value)
    try:
        if datatype == "BYTES":
            raw: bytes = value.encode()
            return struct.pack("<I", len(raw)) + raw
        return struct.pack(f"<{CODE[datatype]}", int(value) if datatype == "INT64" else value)
    except (struct.error, OverflowError):
        raise InvalidRequest(
            f"{_place(column, row)}: {refusal(value)} is out of range for {datatype}"
        ) from None
    except UnicodeEncodeError:
        raise InvalidRequest(f"{_place(column, row)}: the text is not Unicode") from None


def wrong(column: Column, row: int, value: Any) -> str:  # noqa: ANN401 - any JSON value
    """What to say where *value* is of a type that *column* does not take, else nothing."""
    if value is None or (column.text_numbers and isinstance(value, str)):
        return ""
    kinds = _TYPES[column.datatype]
    if isinstance(value, int | float) and not -_MOST <= value <= _MOST:
        return f"{_place(column, row)}: {refusal(value)} is out of range for {column.datatype}"
    if isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds):
        return ""
    return f"{_place(column, row)}: expected {_WANTED[column.datatype]}, got {refusal(value)}"


def wrong_name(name: str, names: Sequence[str]) -> str:
    """The refusal of *name*, which is none of *names*."""
    # Only a client that is wrong pays for this.
    from difflib import get_close_matches  # noqa: PLC0415 - see above

    shown = name[:64]
    near = get_close_matches(shown, names, n=1, cutoff=0.6)
    hint = f"did you mean '{near[0]}'?" if near else f"expected {', '.join(names)[:400]}"
    return f"column '{shown}' is unknown; {hint}"


def refusal(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """*value* in a few words."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, str):
        text = value if value.isprintable() else ascii(value)[1:-1]
        shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
        return f"the text '{shown}'"
    if isinstance(value, int | float):
        return f"the number {value!r:.40}" if abs(value) < 1e300 else "a very large number"
    return "a list" if isinstance(value, list) else "an object"


def _number(column: Column, row: int, text: str) -> float:
    """The number that *text* is, with blanks around it; raises InvalidRequest."""
    stripped = text.strip()
    pattern = _WHOLE if column.datatype == "INT64" else _NUMBER
    if column.datatype != "BOOL" and stripped.isascii() and pattern.fullmatch(stripped):
        return int(stripped) if column.datatype == "INT64" else float(stripped)
    wanted = _WANTED[column.datatype]
    raise InvalidRequest(f"{_place(column, row)}: expected {wanted}, got {refusal(text)}")


def _place(column: Column, row: int) -> str:
    return f"row {row}, column '{column.name}'"
