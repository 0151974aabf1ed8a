# SPDX-License-Identifier: Apache-2.0
"""Trees become structs, and every fault on the way is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from gateway.config.bind import Binder
from gateway.config.tree import Fault, parse
from gateway.units import Duration

EMPTY = "is empty; expected a mapping; write {} for its defaults, or remove the key"


class Inner(Struct, frozen=True, kw_only=True):
    """A section inside."""

    size: Annotated[int, Meta(ge=1)] = 1
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


class Flip(Struct, frozen=True, kw_only=True):
    """A step."""

    axis: int = 0


def steps() -> dict[str, type[Struct]]:
    """The steps that there are."""
    return {"flip": Flip}


class Outer(Struct, frozen=True, kw_only=True):
    """A whole file."""

    name: str
    inner: Inner = Inner()
    maybe: Inner | None = None
    items: Annotated[tuple[Inner, ...], Meta(max_length=2)] = ()
    table: Annotated[dict[Annotated[str, Meta(pattern="^[a-z]+$")], int], Meta(max_length=2)] = {}
    auto: Literal["auto"] | Annotated[int, Meta(ge=1)] = "auto"
    wait: Annotated[Duration | None, Meta(description="How long.")] = None
    mean: float | tuple[float, ...] = 0.0
    source: str = msgspec.field(name="from", default="")
    steps: Annotated[tuple[Any, ...], Meta(extra={"steps": steps})] = ()


def bind(text: str, environment: Mapping[str, str] | None = None) -> tuple[Any, list[str]]:
    """What becomes of *text*, and ``LINE: PATH: MESSAGE`` of its faults."""
    tree, faults = parse(text)
    assert tree is not None
    assert faults == []
    binder = Binder(environment or {}, checks={})
    made = binder.bind(tree, Outer, "")
    return made, [f"{fault.line}: {fault.path}: {fault.message}" for fault in binder.faults]


def fault(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The only fault of ``name: a`` and *text*."""
    _, faults = bind(f"name: a\n{text}", environment)
    assert len(faults) == 1
    return faults[0]


def test_everything_that_is_right_becomes_a_struct() -> None:
    """All forms of fields at once."""
    made, faults = bind(
        """
        name: a
        inner: {size: 5}
        maybe: {low: 1, high: 2}
        items: [{}, {size: 2}]
        table: {a: 1}
        auto: 3
        wait: 2s
        mean: [1, 2.5]
        from: here
        steps: [{flip: {axis: 1}}]
        """
    )
    assert faults == []
    assert made == Outer(
        name="a",
        inner=Inner(size=5),
        maybe=Inner(low=1, high=2),
        items=(Inner(), Inner(size=2)),
        table={"a": 1},
        auto=3,
        wait=2.0,
        mean=(1.0, 2.5),
        source="here",
        steps=(Flip(axis=1),),
    )


def test_null_is_a_value_where_a_field_may_have_none() -> None:
    """Both spellings of it are."""
    assert bind("name: a\nmaybe: null\nwait: ~")[0] == Outer(name="a")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("inner: {size: 0}", "2: inner.size: expected at least 1, got 0"),
        ("inner: {sze: 1}", "2: inner.sze: unknown key; did you mean size?"),
        ("inner: {x: 1}", "2: inner.x: unknown key; expected one of size, low, high"),
        ("inner: {table: 1}", "2: inner.table: unknown key; it belongs one level up, beside inner"),
        ("inner: {low: 2}", "2: inner: low is above high"),
        ("inner: 5", "2: inner: expected a mapping, got '5'"),
        ("inner: [1]", "2: inner: expected a mapping, got a list"),
        ("inner: null", "2: inner: expected a mapping, got null"),
        ("inner:", f"2: inner: {EMPTY}"),
        ("wait:", "2: wait: is empty; expected a duration or null"),
        ("items: {}", "2: items: expected a list, got a mapping"),
        ("items: [{}, {}, {}]", "2: items: expected at most 2, got 3"),
        ("items: [{}, {size: x}]", "2: items[1].size: expected a whole number, got 'x'"),
        ("table: {A: 1}", "2: table.A: as a name: expected text that matches ^[a-z]+$, got 'A'"),
        ("auto: never", "2: auto: expected auto or a whole number, got 'never'"),
        ("auto: 0", "2: auto: expected at least 1, got 0"),
        ("mean: x", "2: mean: expected a number or a list, got 'x'"),
        ("mean: [x]", "2: mean[0]: expected a number, got 'x'"),
        ("steps: {}", "2: steps: expected a list of steps, got a mapping"),
        ("steps: flip", "2: steps: expected a list, got 'flip'"),
        ("steps: [flip]", "2: steps[0]: expected one step with its options, like {NAME: {…}}"),
        ("steps: [{flpi: {}}]", "2: steps[0].flpi: unknown step; did you mean flip?"),
        ("steps: [{x: {}}]", "2: steps[0].x: unknown step; expected one of flip"),
        ("steps: [{flip: {axis: a}}]", "2: steps[0].flip.axis: expected a whole number, got 'a'"),
        ("steps: [{flip: }]", f"2: steps[0].flip: {EMPTY}"),
    ],
)  # fmt: skip
def test_fault_says_where_it_is_and_what_would_be_right(text: str, expected: str) -> None:
    """Line, path, what was wrong, what was expected."""
    assert fault(text) == expected


def test_missing_key_is_a_fault() -> None:
    """What is required has no default that could be guessed."""
    assert bind("inner: {}")[1] == ["1: name: is missing; expected text"]


def test_all_faults_are_found_at_once() -> None:
    """One fault does not hide the next, nor does an unknown key hide what is beside it."""
    _, faults = bind("inner: {size: 0, x: 1}\nitems: [{size: a}, 3]\nauto: []\n")
    assert [line.split(": ")[1] for line in faults] == [
        "inner.size", "inner.x", "items[0].size", "items[1]", "auto", "name",
    ]  # fmt: skip


def test_key_for_anchors_is_not_read() -> None:
    """A key that begins with x- is the file's own, at the top only."""
    assert bind("x-any: {a: 1}\nname: a")[0] == Outer(name="a")
    assert fault("inner: {x-any: 1}").startswith("2: inner.x-any: unknown key")


def test_reference_may_stand_for_a_number_even_in_quotes() -> None:
    """YAML wants quotes around it in a flow mapping."""
    made, _ = bind('name: a\ninner: {size: "${SIZE}"}', {"SIZE": "7"})
    assert made.inner.size == 7


def test_reference_is_a_value_and_never_yaml() -> None:
    """A variable cannot bring in keys."""
    made, _ = bind("name: ${NAME}", {"NAME": "a\ninner: {size: 9}"})
    assert made == Outer(name="a\ninner: {size: 9}")


def test_unset_variable_is_a_fault_of_its_key() -> None:
    """It is named with the place that refers to it."""
    assert fault("auto: ${N}").startswith("2: auto: the environment variable N is not set")


def test_fault_does_not_show_what_a_reference_stands_for() -> None:
    """It may be a secret that was put into the wrong place."""
    assert fault("auto: ${KEY}", {"KEY": "hunter2"}) == (
        "2: auto: expected auto or a whole number, got '${KEY}'"
    )
    assert "hunter2" not in fault("wait: ${KEY}", {"KEY": "hunter2"})
    assert "hunter2" not in fault("inner: {size: '${KEY}'}", {"KEY": "hunter2"})


def test_check_of_a_section_names_one_of_its_keys() -> None:
    """The fault has the line of that key, or of the section where the key is not there."""

    def check(section: Inner) -> Iterator[tuple[str, str]]:
        yield "size", f"{section.size} is odd"
        yield "low", "is low"
        yield "", "is not nice"

    tree, _ = parse("name: a\ninner:\n  high: 3\n  size: 1\n")
    assert tree is not None
    binder = Binder({}, checks={Inner: check})
    binder.bind(tree, Outer, "")
    assert [(fault.line, fault.path) for fault in binder.faults] == [
        (4, "inner.size"), (3, "inner.low"), (3, "inner"),
    ]  # fmt: skip
    assert repr(binder) == "<Binder 3 faults>"


def test_aliases_cannot_stand_for_more_than_a_file_may_hold() -> None:
    """The values behind aliases are counted as often as they are looked at."""

    class Level(Struct):
        a: tuple[tuple[tuple[int, ...], ...], ...] = ()

    ones = ", ".join(["1"] * 100)
    text = f"x: &x [{ones}]\ny: &y [{', '.join(['*x'] * 100)}]\na: [{', '.join(['*y'] * 100)}]"
    tree, _ = parse(text.replace("x:", "x-x:").replace("y:", "x-y:"))
    assert tree is not None
    with pytest.raises(Fault, match="through aliases"):
        Binder({}, checks={}).bind(tree, Level, "")


@pytest.mark.parametrize("secret", ["s3cret", "s3cret" * 30, "s3cret\r\nX: 1"])
def test_a_secret_is_not_in_the_fault_of_its_key(secret: str) -> None:
    """However long it is, and whatever is in it."""
    said = fault("auto: ${N}", {"N": secret})
    assert "${N}" in said
    assert "s3cret" not in said
