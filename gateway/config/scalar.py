# SPDX-License-Identifier: Apache-2.0
"""One piece of text as the type that its place wants.

Typed by the place, not by the text: ``no`` is text where text is wanted and a fault where a truth
value is, so that YAML's own guesses never matter.
"""

from __future__ import annotations

import operator
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.config.annotation import Annotation

_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]{1,18}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_BOUNDS: Final = {
    "ge": (operator.ge, "at least"),
    "gt": (operator.gt, "more than"),
    "le": (operator.le, "at most"),
    "lt": (operator.lt, "less than"),
}
_LONGEST_SHOWN: Final = 60


class MismatchError(ValueError):
    """Text of another form than *expected*; another type of a union may still fit."""

    def __init__(self, expected: str, text: str, *, plain: bool, hint: str = "") -> None:
        got = f"got '{shorten(text)}'" if plain else f"got the text '{shorten(text)}'"
        super().__init__(f"expected {expected}, {got}{hint}")


def read(text: str, about: Annotation, *, plain: bool) -> Any:  # noqa: ANN401 - as the place wants
    """The value of *text*; only *plain* text can be a number or a truth value.

    Raises MismatchError where the form is wrong, ValueError where the value is.
    """
    if about.choices:
        if text not in about.choices:
            expected = " or ".join(about.choices)
            raise MismatchError(expected, text, plain=True, hint=suggestion(text, about.choices))
        return text
    if about.unit is not None:
        value = about.unit.parse(text)
    elif about.base is bool:
        if not plain or text not in {"true", "false"}:
            raise MismatchError("true or false", text, plain=plain)
        return text == "true"
    elif about.base is int:
        if not plain or not _INTEGER.fullmatch(text):
            raise MismatchError("a whole number", text, plain=plain)
        value = int(text)
    elif about.base is float:
        if not plain or not _NUMBER.fullmatch(text):
            raise MismatchError("a number", text, plain=plain)
        value = float(text)
        if value in {float("inf"), float("-inf")}:
            raise ValueError(f"'{text}' is too large")
    elif about.base is str:
        value = text
    else:
        raise MismatchError(describe(about), text, plain=plain)
    check(value, about, text)
    return value


def check(value: Any, about: Annotation, text: str) -> None:  # noqa: ANN401 - of any type
    """Raise ValueError where *value*, written *text*, is outside the bounds of *about*."""
    if not isinstance(value, str):
        for name, (within, words) in _BOUNDS.items():
            bound = about.bounds.get(name)
            if bound is not None and not within(value, bound):
                limit = about.unit.format(bound) if about.unit else f"{bound:g}"
                raise ValueError(f"expected {words} {limit}, got {shorten(text)}")
        return
    if "\0" in value:
        raise ValueError("a NUL character cannot stand in it")
    if len(value) < about.bounds.get("min_length", 0):
        raise ValueError("is empty")
    longest = about.bounds.get("max_length")
    if longest is not None and len(value) > longest:
        raise ValueError(f"expected at most {longest:g} characters, got {len(value)}")
    if about.pattern is not None and not re.search(about.pattern, value):
        expected = about.expected or f"text that matches {about.pattern}"
        raise ValueError(f"expected {expected}, got '{shorten(text)}'")


def describe(about: Annotation) -> str:
    """What *about* wants, in words for a fault."""
    if about.choices:
        return " or ".join(about.choices)
    if about.unit is not None:
        return f"a {about.unit.name}"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}.get(
        about.base, "a list or mapping"
    )


def suggestion(text: str, names: Iterable[str]) -> str:
    """``; did you mean NAME?``, or nothing where no name is near."""
    known = {name.lower(): name for name in names}
    near = get_close_matches(text.lower().replace("-", "_"), known, n=1, cutoff=0.6)
    return f"; did you mean {known[near[0]]}?" if near else ""


def shorten(text: str) -> str:
    """*text* on one line, and not all of it where it is long."""
    line = text if text.isprintable() else repr(text)[1:-1]
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}…"
