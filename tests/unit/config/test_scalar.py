# SPDX-License-Identifier: Apache-2.0
"""One piece of text as what its place wants."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from gateway.config.annotation import Annotation
from gateway.config.scalar import MismatchError, read, shorten, suggestion
from gateway.units import Duration


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, "5", 5),
        (int, "-1", -1),
        (float, "5", 5.0),
        (float, "1e-3", 0.001),
        (float, ".5", 0.5),
        (bool, "true", True),
        (bool, "false", False),
        (str, "no", "no"),
        (str, "12", "12"),
        (Literal["none", "all"], "none", "none"),
        (Duration, "1s", 1.0),
    ],
)
def test_text_is_read_as_its_place_wants(annotation: object, text: str, value: object) -> None:
    """The same word is a name in one place and a number in another."""
    found: Any = read(text, Annotation(annotation), plain=True)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "1.5"), (int, "1e3"), (int, "0x10"), (int, "010"), (int, "1_000"), (int, "9" * 19),
        (int, "true"), (float, "nan"), (float, ".inf"), (float, "1:30"), (float, "."),
        (bool, "yes"), (bool, "on"), (bool, "True"), (bool, "1"), (bool, "off"),
        (Literal["auto"], "atuo"),
    ],
)  # fmt: skip
def test_text_of_another_form_is_a_mismatch(annotation: object, text: str) -> None:
    """YAML's guesses at numbers and truth values are not followed."""
    with pytest.raises(MismatchError, match=r"^expected .*, got '"):
        read(text, Annotation(annotation), plain=True)


def test_quoted_number_is_text() -> None:
    """Who quotes a number means text, and the message says that it is."""
    with pytest.raises(MismatchError, match="expected a whole number, got the text '5'"):
        read("5", Annotation(int), plain=False)


@pytest.mark.parametrize(
    ("annotation", "text", "message"),
    [
        (Annotated[int, Meta(ge=1)], "0", "expected at least 1, got 0"),
        (Annotated[int, Meta(le=9)], "10", "expected at most 9, got 10"),
        (Annotated[float, Meta(gt=0)], "0", "expected more than 0, got 0"),
        (Annotated[float, Meta(lt=1)], "1", "expected less than 1, got 1"),
        (Annotated[Duration, Meta(ge=0.1)], "5ms", "expected at least 100ms, got 5ms"),
        (float, "1e999", "'1e999' is too large"),
        (Annotated[str, Meta(min_length=1)], "", "is empty"),
        (Annotated[str, Meta(max_length=2)], "abc", "expected at most 2 characters, got 3"),
        (Annotated[str, Meta(pattern="^a")], "b", "expected text that matches ^a, got 'b'"),
        (
            Annotated[str, Meta(pattern="^a", extra={"expected": "an a"})],
            "b",
            "expected an a, got 'b'",
        ),
        (str, "a\0b", "a NUL character cannot stand in it"),
    ],
)
def test_value_out_of_bounds_is_refused_with_the_bound(
    annotation: object, text: str, message: str
) -> None:
    """The bound is shown in the unit of the field."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read(text, Annotation(annotation), plain=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [("replica", "; did you mean replicas?"), ("max-rows", "; did you mean max_rows?"),
     ("REPLICAS", "; did you mean replicas?"), ("zzz", "")],
)  # fmt: skip
def test_near_name_is_suggested(text: str, words: str) -> None:
    """A slip of the finger finds its name; nothing is made up for the rest."""
    assert suggestion(text, ["replicas", "max_rows"]) == words


def test_long_or_strange_text_is_shown_in_part_and_on_one_line() -> None:
    """A fault is one line, whatever it is about."""
    assert shorten("a\nb") == "a\\nb"
    assert shorten("x" * 100) == "x" * 60 + "…"
