# SPDX-License-Identifier: Apache-2.0
"""Bind: a tree of YAML nodes becomes the structs that the annotations ask for.

Driven by the structs alone and through to the end: every fault is kept with its line and path,
where a decoder would stop at the first.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args, get_origin

from msgspec import Meta, Struct

from gateway.config.annotation import Annotation, fields, is_scalar, is_section
from gateway.config.expand import expand, refers
from gateway.config.scalar import MismatchError, describe, read, shorten, suggestion
from gateway.config.secret import Secret
from gateway.config.tree import MAX_NODES, Fault, Mapping, Node, Scalar, Sequence, join

if TYPE_CHECKING:
    import collections.abc as c

    # Called with a section that is complete: yields the field at fault and what is wrong with it.
    Check = c.Callable[[Any], c.Iterable[tuple[str, str]]]
    Checks = c.Mapping[type[Struct], Check]


_STEP: Final = re.compile(r"\.(?:pre|post)process\[")


class _Failed:
    """Stands for a value whose faults are noted already."""


FAILED: Final = _Failed()


class Binder:
    """Turns nodes into values; *faults* grows on the way.

    *checks* look at whole sections, by type, once all of their fields are right; *files* do so with
    defaults in the place of those that are not, so that a missing file is named with the rest.
    """

    def __init__(
        self,
        environment: c.Mapping[str, str],
        *,
        checks: Checks,
        files: Checks | None = None,
    ) -> None:
        self.faults: list[Fault] = []
        self._environment = environment
        # What came from files: a section that puts its values into words must not show it.
        self.secrets: list[Secret] = []
        self._checks = checks
        self._files = files or {}
        self._visits = 0

    def __repr__(self) -> str:
        return f"<Binder {len(self.faults)} faults>"

    def bind(self, node: Node, annotation: Any, path: str, outer: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - as annotated
        """The value of *node* as *annotation* wants it, or FAILED.

        *outer* are the keys of the section around, for who wrote one of them too deep.
        """
        self._visits += 1
        if self._visits > MAX_NODES:
            raise Fault(node.line, path, f"more than {MAX_NODES} values, through aliases")
        about = Annotation(annotation)
        if about.kinds is not None:
            return self._kind(node, about.kinds(), path)
        if isinstance(node, Scalar):
            return self._scalar(node, about, path)
        if about.steps is not None:
            return self._steps(node, about, path)
        for member in about.members:
            inner = Annotation(member)
            if isinstance(node, Mapping) and is_section(inner.base):
                return self._section(node, inner.base, path, outer)
            if isinstance(node, Mapping) and get_origin(inner.base) is dict:
                return self._table(node, about if len(about.members) == 1 else inner, path)
            if isinstance(node, Sequence) and get_origin(inner.base) is tuple:
                return self._list(node, about if len(about.members) == 1 else inner, path)
        got = "a mapping" if isinstance(node, Mapping) else "a list"
        return self._fault(node, path, f"expected {_wanted(about)}, got {got}")

    def _fault(self, node: Node, path: str, message: str) -> _Failed:
        self.faults.append(Fault(node.line, path, message))
        return FAILED

    def _scalar(self, node: Scalar, about: Annotation, path: str) -> Any:  # noqa: ANN401
        if node.plain and node.text in {"null", "~"}:
            if type(None) in about.members:
                return None
            return self._fault(node, path, f"expected {_wanted(about)}, got {node.text}")
        if node.plain and not node.text:
            hint = ""
            if any(is_section(member) for member in about.members):
                hint = "; write {} for its defaults, or remove the key"
            return self._fault(node, path, f"is empty; expected {_wanted(about)}{hint}")
        text, plain = node.text, node.plain
        if refers(text):
            try:
                text = self._expanded(text, path)
            except ValueError as error:
                return self._fault(node, path, str(error))
            # In a flow mapping a reference must be quoted, whatever it stands for.
            plain = True
        for member in about.members:
            inner = about if len(about.members) == 1 else _inherit(about, member)
            try:
                return read(text, inner, plain=plain)
            except MismatchError as error:
                if inner is about and is_scalar(about):
                    return self._fault(
                        node,
                        path,
                        _unexpanded(str(error), text, node, inner.expected or _wanted(about)),
                    )
            except ValueError as error:
                return self._fault(
                    node,
                    path,
                    _unexpanded(str(error), text, node, inner.expected or _wanted(about)),
                )
        expected = _wanted(about)
        return self._fault(node, path, f"expected {expected}, got '{shorten(node.text)}'")

    def _expanded(self, text: str, path: str) -> str:
        """What *text* refers to; raises ValueError."""
        found = expand(text, self._environment)
        if isinstance(found, Secret):
            self.secrets.append(found)
            if _STEP.search(path):
                # Steps are part of what is told of a model, and of its cache's keys.
                raise ValueError("expected a value here, not one from a file")
        return found

    def _section(
        self, node: Mapping, section: type[Struct], path: str, outer: tuple[str, ...]
    ) -> Any:  # noqa: ANN401 - a struct
        known = fields(section)
        values: dict[str, Any] = {}
        failed = False
        for key, value in node.entries.items():
            here, line = join(path, key), node.lines[key]
            if key not in known:
                if path or not key.startswith("x-"):
                    self.faults.append(Fault(line, here, _unknown(key, known, outer, path)))
                continue
            bound = self.bind(value, known[key].annotation, here, tuple(known))
            failed |= bound is FAILED
            values[known[key].attribute] = bound
        for name, field in known.items():
            if field.required and name not in node.entries:
                wanted = _wanted(field.about)
                self.faults.append(
                    Fault(node.line, join(path, name), f"is missing; expected {wanted}")
                )
                failed = True
        if failed:
            # Its other keys may still name a file that is not there.
            good = {name: value for name, value in values.items() if value is not FAILED}
            with suppress(TypeError, ValueError):
                self._check(node, path, section(**good), self._files)
            return FAILED
        try:
            made = section(**values)
        except ValueError as error:
            return self._fault(node, path, str(error))
        self._check(node, path, made, self._checks)
        self._check(node, path, made, self._files)
        return made

    def _check(self, node: Mapping, path: str, made: Struct, checks: Checks) -> None:
        for name, message in checks.get(type(made), _unchecked)(made):
            line = node.lines.get(name, node.line)
            self.faults.append(Fault(line, join(path, name) if name else path, message))

    def _table(self, node: Mapping, about: Annotation, path: str) -> Any:  # noqa: ANN401 - a dict
        key_type, value_type = get_args(about.base)
        values: dict[str, Any] = {}
        for key, value in node.entries.items():
            here = join(path, key)
            try:
                read(key, Annotation(key_type), plain=True)
            except ValueError as error:
                self.faults.append(Fault(node.lines[key], here, f"as a name: {error}"))
            values[key] = self.bind(value, value_type, here)
        if not self._fits(node, len(values), about, path):
            return FAILED
        return FAILED if FAILED in values.values() else values

    def _list(self, node: Sequence, about: Annotation, path: str) -> Any:  # noqa: ANN401 - a tuple
        item_type = get_args(about.base)[0]
        values = [
            self.bind(item, item_type, f"{path}[{index}]") for index, item in enumerate(node.items)
        ]
        if not self._fits(node, len(values), about, path):
            return FAILED
        return FAILED if any(value is FAILED for value in values) else tuple(values)

    def _steps(self, node: Node, about: Annotation, path: str) -> Any:  # noqa: ANN401 - a tuple
        assert about.steps is not None  # noqa: S101 - asked by the caller
        if not isinstance(node, Sequence):
            return self._fault(node, path, "expected a list of steps, got a mapping")
        if not self._fits(node, len(node.items), about, path):
            return FAILED
        table = about.steps() if node.items else {}
        made: list[Any] = []
        for index, item in enumerate(node.items):
            here = f"{path}[{index}]"
            if not isinstance(item, Mapping) or len(item.entries) != 1:
                message = "expected one step with its options, like {NAME: {…}}"
                made.append(self._fault(item, here, message))
                continue
            ((name, options),) = item.entries.items()
            inner = join(here, name)
            if name not in table:
                near = suggestion(name, table) or f"; expected one of {', '.join(table)}"
                made.append(self._fault(item, inner, f"unknown step{near}"))
                continue
            step = self.bind(options, table[name], inner)
            made.append(step)
            if step is not FAILED and self._files:
                # What it reads, and the packages that it needs.
                lines = options.lines if isinstance(options, Mapping) else {}
                # Views have no files and say nothing of them.
                for key, message in getattr(step, "faults", tuple)():
                    line = lines.get(key, item.line)
                    self.faults.append(Fault(line, join(inner, key) if key else inner, message))
        return FAILED if any(value is FAILED for value in made) else tuple(made)

    def _kind(self, node: Node, table: c.Mapping[str, type[Struct]], path: str) -> Any:  # noqa: ANN401 - a struct
        """One of *table*: its name alone, or with its options as the only key of a mapping."""
        if isinstance(node, Scalar):
            names = Annotation(Annotated[str, Meta(extra={"names": tuple(table)})])
            name = self._scalar(node, names, path)
            return FAILED if name is FAILED else table[name]()
        if not isinstance(node, Mapping) or len(node.entries) != 1:
            return self._fault(node, path, "expected a name, or one with options: {NAME: {…}}")
        ((name, options),) = node.entries.items()
        inner = join(path, name)
        if name not in table:
            near = suggestion(name, table) or f"; expected one of {', '.join(table)}"
            return self._fault(node, inner, f"unknown name{near}")
        return self.bind(options, table[name], inner)

    def _fits(self, node: Node, count: int, about: Annotation, path: str) -> bool:
        least = int(about.bounds.get("min_length", 0))
        most = int(about.bounds.get("max_length", MAX_NODES))
        if count < least:
            self._fault(node, path, f"expected at least {least}, got {count}")
        elif count > most:
            self._fault(node, path, f"expected at most {most}, got {count}")
        return least <= count <= most


def _unchecked(_: object) -> tuple[tuple[str, str], ...]:
    return ()


def _inherit(about: Annotation, member: Any) -> Annotation:  # noqa: ANN401 - an annotation
    """*member* of the union *about*, with what is said about the union as a whole."""
    inner = Annotation(member)
    inner.bounds = about.bounds | inner.bounds
    inner.pattern = inner.pattern or about.pattern
    return inner


def _unknown(key: str, known: c.Iterable[str], outer: tuple[str, ...], path: str) -> str:
    near = suggestion(key, known)
    if not near and key in outer:
        return f"unknown key; it belongs one level up, beside {path.rpartition('.')[2]}"
    return f"unknown key{near or '; expected one of ' + ', '.join(known)}"


def _unexpanded(message: str, text: str, node: Scalar, expected: str) -> str:
    """*message* with what stands in the file, since what it stands for may be a secret."""
    if not text or text == node.text:
        return message
    if isinstance(text, Secret):
        # Its length, a part of it or another spelling of it may stand in any of the words.
        return f"expected {expected}, and what '{shorten(node.text)}' stands for is something else"
    # A long one is quoted in part, and one with a line break in it as an escape.
    return message.replace(text, node.text).replace(shorten(text), node.text)


def _wanted(about: Annotation) -> str:
    """What *about* wants, in words for a fault."""
    words: list[str] = []
    for member in about.members:
        inner = Annotation(member) if len(about.members) > 1 else about
        origin = get_origin(inner.base)
        if inner.base is type(None):
            words.append("null")
        elif inner.steps is not None or origin is tuple:
            words.append("a list")
        elif is_section(inner.base) or origin is dict:
            words.append("a mapping")
        else:
            words.append(describe(inner))
    return " or ".join(words)
