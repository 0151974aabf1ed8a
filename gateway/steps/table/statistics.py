# SPDX-License-Identifier: Apache-2.0
"""Statistics: what operations have learnt from training data, in a JSON file beside the model.

The file says of each operation what it was learnt for, so that one whose settings or columns have
changed since is refused, and never applied to something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.steps.step import Misfit
from gateway.steps.table.operation import Operation

FORMAT: Final = "infergate-statistics"
VERSION: Final = 1
_MAX_BYTES: Final = 64 << 20


class Learnt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The *values* that operation *kind* with *settings* has learnt of *columns*."""

    kind: str
    columns: tuple[str, ...]
    settings: dict[str, Any]
    values: msgspec.Raw


class Statistics(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file: *types* are those of the columns that it was learnt with, *rows* how many."""

    format: str = FORMAT
    version: int = VERSION
    rows: int
    types: dict[str, str]
    operations: tuple[Learnt, ...]


class _Head(msgspec.Struct):
    format: str = ""
    version: int = 0


def encode(statistics: Statistics) -> bytes:
    """The content of the file, indented: it is made to be read and compared."""
    return msgspec.json.format(msgspec.json.encode(statistics), indent=1) + b"\n"


def content(path: str) -> bytes:
    """The bytes of the file *path*; raises Misfit."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Misfit(
            f"statistics file '{path}' cannot be read, seen from {Path.cwd()}: {reason}; "
            "infergate fit-preprocess writes one"
        ) from None
    if len(data) > _MAX_BYTES:
        raise Misfit(f"statistics file '{path}' has more than {_MAX_BYTES >> 20} MiB")
    return data


def decode(data: bytes, path: str) -> Statistics:
    """What *data*, read from *path*, says; raises Misfit."""
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format != FORMAT:
            raise Misfit(
                f"statistics file '{path}' is not one that infergate fit-preprocess writes"
            )
        if head.version != VERSION:
            raise Misfit(
                f"statistics file '{path}' is of version {head.version}, expected {VERSION}; "
                "write it anew with infergate fit-preprocess"
            )
        return msgspec.json.decode(data, type=Statistics)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Misfit(f"statistics file '{path}' is damaged: {error}") from None


def settings(operation: Operation) -> dict[str, Any]:
    """The fields of *operation* as the file has them: without the columns, and with defaults."""
    fields: dict[str, Any] = msgspec.to_builtins(operation)
    fields.pop("columns", None)
    # As JSON has them: without tuples.
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(fields))
    return plain


def values_of(learnt: Learnt, operation: Operation, columns: Sequence[str]) -> Any:  # noqa: ANN401
    """What *learnt* says for *operation* on *columns*, as its `learns`; raises Misfit."""
    if learnt.kind != operation.kind:
        raise Misfit(f"the statistics have {learnt.kind} in its place; {_ANEW}")
    if list(learnt.columns) != list(columns):
        raise Misfit(
            f"the statistics are of columns {_some(learnt.columns)}, here it is done to "
            f"{_some(columns)}; {_ANEW}"
        )
    now = settings(operation)
    for name in sorted(now.keys() | learnt.settings.keys()):
        was, is_ = learnt.settings.get(name), now.get(name)
        if was != is_:
            raise Misfit(
                f"the statistics were learnt with {name} {was!r}, here it is {is_!r}; {_ANEW}"
            )
    assert operation.learns is not None  # noqa: S101 - asked by the caller
    try:
        return msgspec.json.decode(learnt.values, type=operation.learns)
    except msgspec.DecodeError as error:
        raise Misfit(f"the statistics of it are damaged: {error}") from None


_ANEW: Final = "write the file anew with infergate fit-preprocess"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return f"[{shown}]" if len(names) <= 6 else f"[{shown}, … {len(names)} in all]"
