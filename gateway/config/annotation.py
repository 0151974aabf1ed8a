# SPDX-License-Identifier: Apache-2.0
"""What the annotation of a field says: its type, bounds, unit and description."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta, Struct

from gateway.units import Unit

# A table of steps, or of the kinds of one thing, looked up when it is needed.
Steps = Callable[[], Mapping[str, type[Struct]]]


class Annotation:
    """*base* is the type without what is said about it; the rest is from all its `Meta`."""

    __slots__ = (
        "base", "bounds", "description", "expected", "kinds", "names", "pattern", "steps", "unit",
    )  # fmt: skip

    def __init__(self, annotation: Any) -> None:  # noqa: ANN401 - any annotation
        metas: list[Meta] = []
        while get_origin(annotation) is Annotated:
            annotation, *said = get_args(annotation)
            metas = [each for each in said if isinstance(each, Meta)] + metas
        self.base: Any = annotation
        self.description = ""
        self.bounds: dict[str, float] = {}
        self.pattern: str | None = None
        extra: dict[str, Any] = {}
        for meta in metas:
            self.description = meta.description or self.description
            self.pattern = meta.pattern or self.pattern
            for name in ("ge", "gt", "le", "lt", "min_length", "max_length"):
                if (bound := getattr(meta, name)) is not None:
                    self.bounds[name] = bound
            extra |= meta.extra or {}
        self.unit: Unit | None = extra.get("unit")
        self.names: tuple[str, ...] = extra.get("names", ())
        self.steps: Steps | None = extra.get("steps")
        self.kinds: Steps | None = extra.get("kinds")
        self.expected: str = extra.get("expected", "")

    def __repr__(self) -> str:
        return f"<Annotation {self.base!r} {self.bounds}>"

    @property
    def members(self) -> tuple[Any, ...]:
        """The types of a union, or the one type itself."""
        union = get_origin(self.base) in {Union, types.UnionType}
        return get_args(self.base) if union else (self.base,)

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that may stand here, where they are fixed."""
        return get_args(self.base) if get_origin(self.base) is Literal else self.names


class Field:
    """A field of a section: its *name* in YAML and in the struct, and its *default*."""

    __slots__ = ("about", "annotation", "attribute", "default", "name", "required")

    def __init__(self, field: msgspec.structs.FieldInfo) -> None:
        self.name = field.encode_name
        self.attribute = field.name
        self.annotation = field.type
        self.about = Annotation(field.type)
        self.required = field.required
        self.default: Any = UNSET
        if not field.required:
            has_factory = field.default_factory is not msgspec.NODEFAULT
            self.default = field.default_factory() if has_factory else field.default

    def __repr__(self) -> str:
        return f"<Field {self.name} = {self.default!r}>"


@cache
def fields(section: type[Struct]) -> Mapping[str, Field]:
    """The fields of *section* by their names in YAML."""
    found: Iterable[Field] = map(Field, msgspec.structs.fields(section))
    return {field.name: field for field in found}


def is_section(annotation: Any) -> bool:  # noqa: ANN401 - any annotation
    """Whether values of *annotation* are mappings with fixed keys."""
    return isinstance(annotation, type) and issubclass(annotation, Struct)


def is_scalar(about: Annotation) -> bool:
    """Whether a value of *about* is one piece of text, a union of such included."""
    return (
        about.steps is None
        and about.kinds is None
        and not any(
            is_section(member) or get_origin(member) in {dict, tuple}
            for member in (Annotation(each).base for each in about.members)
        )
    )


def doc(section: type[Struct]) -> str:
    """The docstring of *section* as one line."""
    return " ".join((section.__doc__ or "").split())
