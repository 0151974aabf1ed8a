# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of a configuration, read off the same annotations that bind one.

For editors and for other programs; `infergate check` sees more than a schema can say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from gateway.config.annotation import Annotation, doc, fields, is_scalar, is_section
from gateway.config.root import Config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Struct

    from gateway.config.annotation import Field

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_BOUNDS: Final = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}
_TYPES: Final = {bool: "boolean", int: "integer", float: "number", type(None): "null"}
_REFERENCE: Final = {"$ref": "#/$defs/reference"}


def schema() -> dict[str, Any]:
    """The schema, as JSON values."""
    definitions: dict[str, Any] = {
        "reference": {
            "description": "A value from the environment: ${NAME} or ${NAME:-default}.",
            "type": "string",
            "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}",
        }
    }
    root = _section(Config, definitions)
    # Keys that hold what the rest of the file refers to by anchor.
    root["patternProperties"] = {"^x-": True}
    return {"$schema": DIALECT, "title": "Infergate", **root, "$defs": definitions}


def written(value: Any, about: Annotation) -> Any:  # noqa: ANN401 - any default
    """*value* as a file would have it: with its unit."""
    if about.unit is not None and value is not None:
        return about.unit.format(value)
    if about.kinds is not None:
        return next(name for name, kind in about.kinds().items() if type(value) is kind)
    return list(value) if isinstance(value, tuple) else value


def _section(section: type[Struct], definitions: dict[str, Any]) -> dict[str, Any]:
    known = fields(section)
    made: dict[str, Any] = {
        "description": doc(section),
        "type": "object",
        "properties": {name: _field(field, definitions) for name, field in known.items()},
        "additionalProperties": False,
    }
    if required := [name for name, field in known.items() if field.required]:
        made["required"] = required
    return made


def _field(field: Field, definitions: dict[str, Any]) -> dict[str, Any]:
    made = _value(field.about, definitions)
    if field.about.description:
        made["description"] = field.about.description
    members = field.about.members
    if not field.required and not any(is_section(member) for member in members):
        made["default"] = written(field.default, field.about)
    return made


def _value(about: Annotation, definitions: dict[str, Any]) -> dict[str, Any]:
    if about.steps is not None:
        return _steps(about, definitions)
    if about.kinds is not None:
        return _kinds(about.kinds(), definitions)
    forms = [_member(about, member, definitions) for member in about.members]
    if is_scalar(about) and _REFERENCE not in forms and not _is_free_text(about):
        forms.append(dict(_REFERENCE))
    return forms[0] if len(forms) == 1 else {"anyOf": forms}


def _member(about: Annotation, member: Any, definitions: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - an annotation
    inner = about if len(about.members) == 1 else Annotation(member)
    base, origin = inner.base, get_origin(inner.base)
    if is_section(base):
        if base.__name__ not in definitions:
            definitions[base.__name__] = {}
            definitions[base.__name__] = _section(base, definitions)
        return {"$ref": f"#/$defs/{base.__name__}"}
    if origin is dict:
        key, value = (Annotation(each) for each in get_args(base))
        made: dict[str, Any] = {
            "type": "object",
            "propertyNames": _text(key),
            "additionalProperties": _value(value, definitions),
        }
        return made | _lengths(about, "Properties")
    if origin is tuple:
        items = _value(Annotation(get_args(base)[0]), definitions)
        return {"type": "array", "items": items} | _lengths(about, "Items")
    if inner.choices:
        return {"enum": list(inner.choices)}
    if inner.unit is None and about.unit is not None:
        inner.unit = about.unit
    if inner.unit is not None:
        text = {"type": "string", "pattern": inner.unit.pattern}
        return {"anyOf": [text, inner.unit.number]} if inner.unit.number else text
    if base is str:
        return _text(inner)
    bounds = about.bounds | inner.bounds
    return {"type": _TYPES[base]} | {
        _BOUNDS[name]: bound for name, bound in bounds.items() if name in _BOUNDS
    }


def _steps(about: Annotation, definitions: dict[str, Any]) -> dict[str, Any]:
    assert about.steps is not None  # noqa: S101 - asked by the caller
    items: dict[str, Any] = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": {
            name: _member(Annotation(step), step, definitions)
            for name, step in about.steps().items()
        },
    }
    return {"type": "array", "items": items} | _lengths(about, "Items")


def _kinds(table: Mapping[str, type[Struct]], definitions: dict[str, Any]) -> dict[str, Any]:
    options = {name: _member(Annotation(kind), kind, definitions) for name, kind in table.items()}
    named = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": options,
    }
    return {"anyOf": [{"enum": list(table)}, named, dict(_REFERENCE)]}


def _text(about: Annotation) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "string"}
    if _is_free_text(about):
        # Without quotes, YAML takes 1 for a number; here it is the text that it looks like.
        made["type"] = ["string", "number", "boolean"]
    if about.pattern is not None:
        made["pattern"] = about.pattern
    for bound, name in (("min_length", "minLength"), ("max_length", "maxLength")):
        if bound in about.bounds:
            made[name] = int(about.bounds[bound])
    return made


def _lengths(about: Annotation, what: str) -> dict[str, int]:
    return {
        f"{side}{what}": int(about.bounds[bound])
        for side, bound in (("min", "min_length"), ("max", "max_length"))
        if bound in about.bounds
    }


def _is_free_text(about: Annotation) -> bool:
    return about.base is str and not (about.unit or about.choices or about.pattern)
