# SPDX-License-Identifier: Apache-2.0
"""Write the tables of docs/reference/configuration.md anew from the sections themselves.

Run it after a key was added or its description changed:
``.venv/bin/python scripts/configuration_reference.py``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

sys.path.insert(0, str(Path(__file__).parents[1]))

from gateway.config.annotation import Annotation, Field, doc, fields, is_section
from gateway.config.root import Config
from gateway.config.schema import written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from msgspec import Struct

PAGE: Final = Path(__file__).parents[1] / "docs" / "reference" / "configuration.md"
BEGIN: Final = "<!-- tables: written by scripts/configuration_reference.py -->"
END: Final = "<!-- end of tables -->"


def tables() -> str:
    """A heading and a table for each section, in the order in which a file has them."""
    return "\n".join(_section("", Config))


def rewritten(page: str) -> str:
    """*page* with the tables as they should be."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def _section(path: str, section: type[Struct]) -> Iterator[str]:
    yield f"## {f'`{path}`' if path else 'The file'}"
    yield ""
    yield _cell(doc(section))
    yield ""
    yield "| Key | Type | Default | Effect | Danger |"
    yield "| --- | --- | --- | --- | --- |"
    known = fields(section)
    for name, field in known.items():
        effect, _, danger = field.about.description.partition("Danger: ")
        if not effect and (inner := _inner(field.about)):
            effect = f"See `{_below(path, name, field.about)}`: {doc(inner)}"
        cells = (f"`{name}`", _type(field.about), _default(field), effect, danger)
        yield "| " + " | ".join(_cell(text) for text in cells) + " |"
    yield ""
    for name, field in known.items():
        if inner := _inner(field.about):
            yield from _section(_below(path, name, field.about), inner)
        if field.about.kinds is not None:
            for kind, options in _different(field.about.kinds()):
                yield from _section(f"{path}.{name}.{kind}", options)
        if field.about.steps is not None:
            for step, options in field.about.steps().items():
                yield from _section(f"{path}.{name}[].{step}", options)


def _different(table: Mapping[str, type[Struct]]) -> Iterator[tuple[str, type[Struct]]]:
    """The entries of *table* that have options, each once under its first name."""
    seen: set[type[Struct]] = set()
    for name, kind in table.items():
        if kind not in seen and fields(kind):
            yield name, kind
        seen.add(kind)


def _cell(text: str) -> str:
    return text.strip().replace("|", "\\|").replace("``", "`")


def _inner(about: Annotation) -> type[Struct] | None:
    """The section that values of *about* are, or are made of."""
    for member in about.members:
        base = Annotation(member).base
        if is_section(base):
            found: type[Struct] = base
            return found
        if get_origin(base) in {dict, tuple}:
            last = [each for each in get_args(base) if each is not Ellipsis][-1]
            if inner := _inner(Annotation(last)):
                return inner
    return None


def _below(path: str, name: str, about: Annotation) -> str:
    suffix = {dict: ".NAME", tuple: "[]"}.get(get_origin(about.base), "")
    return f"{path}.{name}{suffix}" if path else f"{name}{suffix}"


def _type(about: Annotation) -> str:
    if about.steps is not None:
        return "list of steps"
    if about.kinds is not None:
        return " or ".join(f"`{name}`" for name in about.kinds()) + ", alone or with options"
    return " or ".join(
        _one(about if len(about.members) == 1 else Annotation(member), about)
        for member in about.members
    )


def _one(inner: Annotation, about: Annotation) -> str:
    base = inner.base
    if base is type(None):
        return "null"
    if is_section(base):
        return "section"
    if get_origin(base) is dict:
        return "mapping"
    if get_origin(base) is tuple:
        item = Annotation(get_args(base)[0])
        return "list" if is_section(item.base) else f"list of {_type(item)}"
    if inner.choices:
        return " or ".join(f"`{choice}`" for choice in inner.choices)
    unit = inner.unit or about.unit
    words = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    return (unit.name if unit else words[base]) + _range(inner, about)


def _range(inner: Annotation, about: Annotation) -> str:
    bounds = about.bounds | inner.bounds
    unit = inner.unit or about.unit

    def shown(name: str) -> str:
        return str(unit.format(bounds[name]) if unit else f"{bounds[name]:.15g}")

    words = {"gt": "above", "ge": "from", "lt": "below", "le": "to"}
    parts = [f"{word} {shown(name)}" for name, word in words.items() if name in bounds]
    return ", " + " ".join(parts) if parts else ""


def _default(field: Field) -> str:
    if field.required:
        return "required"
    if _inner(field.about):
        return "none" if field.default is None else ""
    value: Any = written(field.default, field.about)
    return f"`{value if isinstance(value, str) and value else json.dumps(value)}`"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text("utf-8")), "utf-8")
