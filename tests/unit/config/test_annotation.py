# SPDX-License-Identifier: Apache-2.0
"""What annotations say of fields."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import UNSET, Meta, Struct

from gateway.config.annotation import Annotation, doc, fields, is_scalar, is_section
from gateway.units import DURATION, Duration


class Section(Struct, frozen=True):
    """A section
    for tests.
    """

    ttl: Annotated[Duration, Meta(gt=0, description="How long.")]
    names: tuple[str, ...] = ()
    env: dict[str, str] = {}
    source: int = msgspec.field(name="from", default=3)


def test_metas_of_all_levels_count() -> None:
    """A unit's type can be annotated further with bounds and words."""
    about = Annotation(Annotated[Duration, Meta(gt=0, description="How long.")])
    assert (about.base, about.unit) == (float, DURATION)
    assert (about.bounds, about.description) == ({"gt": 0}, "How long.")


def test_union_has_its_members() -> None:
    """Any other type is its own only member."""
    assert Annotation(int | None).members == (int, type(None))
    assert Annotation(int).members == (int,)


def test_words_that_may_stand_are_choices() -> None:
    """Both a Literal and a table of names have them."""
    assert Annotation(Literal["a", "b"]).choices == ("a", "b")
    assert Annotation(Annotated[str, Meta(extra={"names": ("a",)})]).choices == ("a",)


def test_fields_go_by_their_names_in_yaml() -> None:
    """A field whose name is a keyword of Python has another one inside."""
    known = fields(Section)
    assert list(known) == ["ttl", "names", "env", "from"]
    assert known["from"].attribute == "source"
    assert (known["ttl"].required, known["ttl"].default) == (True, UNSET)
    assert [known[name].default for name in ("names", "env", "from")] == [(), {}, 3]


@pytest.mark.parametrize(
    ("annotation", "scalar"),
    [(int, True), (Literal["auto"] | int, True), (Section, False), (Section | None, False),
     (tuple[int, ...], False), (float | tuple[float, ...], False), (dict[str, int], False)],
)  # fmt: skip
def test_scalar_is_what_one_piece_of_text_can_say(annotation: object, *, scalar: bool) -> None:
    """Sections, lists and mappings are not."""
    assert is_scalar(Annotation(annotation)) is scalar


def test_section_is_a_struct() -> None:
    """Nothing else has fixed keys."""
    assert is_section(Section)
    assert not is_section(dict[str, str])


def test_docstring_is_one_line() -> None:
    """A description in a schema has no line breaks."""
    assert doc(Section) == "A section for tests."
