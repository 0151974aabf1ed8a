# SPDX-License-Identifier: Apache-2.0
"""Learned: numbers that were fitted elsewhere and lie in a JSON file beside the model."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeVar

import msgspec

from gateway.steps.step import Misfit

T = TypeVar("T")

MAX_BYTES: Final = 64 << 20


def read_learned(path: str, form: type[T], what: str) -> T:
    """What the JSON file at *path* says, as *form*; *what* names the file in faults.

    Raises Misfit where it cannot be read or says something else.
    """
    file = Path(path)
    try:
        if file.stat().st_size > MAX_BYTES:
            raise Misfit(f"{what} file '{path}' is larger than {MAX_BYTES >> 20} MiB")
        data = file.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Misfit(f"{what} file '{path}' cannot be read: {reason}") from None
    try:
        return msgspec.json.decode(data, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Misfit(f"{what} file '{path}': {error}") from None
