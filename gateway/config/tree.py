# SPDX-License-Identifier: Apache-2.0
"""YAML text as a tree of nodes that know their lines, within bounds.

Built from parser events rather than by a YAML constructor: nothing is interpreted before it is
known what is wanted, aliases are shared and not copied, and duplicate keys are seen.
"""

from __future__ import annotations

import re
from typing import Final

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32
# Lookups through aliases included, so that a small file cannot stand for a huge one.
MAX_NODES: Final = 100_000

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


class Node:
    """A place in the file; *line* counts from 1."""

    __slots__ = ("line",)

    def __init__(self, line: int) -> None:
        self.line = line


class Scalar(Node):
    """Text; *plain* means that it stood without quotes, so that it may be a number."""

    __slots__ = ("plain", "text")

    def __init__(self, line: int, text: str, *, plain: bool) -> None:
        super().__init__(line)
        self.text = text
        self.plain = plain

    def __repr__(self) -> str:
        return f"<Scalar {self.text!r}>"


class Sequence(Node):
    """A list of nodes."""

    __slots__ = ("items",)

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.items: list[Node] = []

    def __repr__(self) -> str:
        return f"<Sequence {self.items!r}>"


class Mapping(Node):
    """Nodes by key, in the order of the file; *lines* are those of the keys."""

    __slots__ = ("entries", "lines")

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.entries: dict[str, Node] = {}
        self.lines: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Mapping {self.entries!r}>"


class Fault(Exception):
    """Something wrong at *line* and *path*; the tree may go on without it, or not."""

    def __init__(self, line: int, path: str, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.path = path
        self.message = message


def join(path: str, key: str) -> str:
    """The path of *key* in the mapping at *path*."""
    name = key if _PLAIN_KEY.fullmatch(key) else f'"{key}"'
    return f"{path}.{name}" if path else name


def parse(text: str) -> tuple[Node | None, list[Fault]]:
    """The document in *text*, None where it is empty, and what is wrong with it as a tree.

    Raises Fault where it is no YAML at all, or beyond a bound.
    """
    composer = _Composer(text)
    try:
        return composer.document(), composer.faults
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "cannot be read"
        raise Fault(mark.line + 1 if mark else 1, "", f"not valid YAML: {problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Fault(line, "", "not valid YAML: a character that YAML does not allow") from error
    except yaml.YAMLError as error:
        raise Fault(1, "", f"not valid YAML: {error}") from error


class _Composer:
    def __init__(self, text: str) -> None:
        self._events = yaml.parse(text, Loader=_Loader)
        self._anchors: dict[str, Node] = {}
        self._nodes = 0
        self.faults: list[Fault] = []

    def document(self) -> Node | None:
        root: Node | None = None
        seen = 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                seen += 1
                if seen > 1:
                    line = _line(event)
                    raise Fault(line, "", "a second document starts; expected one in a file")
                root = self._node(next(self._events), "", 1)
            elif isinstance(event, StreamEndEvent):
                break
        if isinstance(root, Scalar) and root.plain and not root.text:
            return None
        return root

    def _node(self, event: Event, path: str, depth: int) -> Node:
        self._count(_line(event), path)
        if depth > MAX_DEPTH:
            raise Fault(_line(event), "", f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, AliasEvent):
            if event.anchor not in self._anchors:
                message = f"*{event.anchor} is used before &{event.anchor} is complete"
                raise Fault(_line(event), path, message)
            return self._anchors[event.anchor]
        tag = getattr(event, "tag", None)
        if tag is not None:
            message = f"the tag {tag} is not understood; write the value without it"
            self.faults.append(Fault(_line(event), path, message))
        node: Node
        if isinstance(event, ScalarEvent):
            node = Scalar(_line(event), event.value, plain=event.style in {None, ""})
        elif isinstance(event, SequenceStartEvent):
            node = self._sequence(event, path, depth)
        else:
            assert isinstance(event, MappingStartEvent)  # noqa: S101 - nothing else starts a node
            node = self._mapping(event, path, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _sequence(self, start: Event, path: str, depth: int) -> Sequence:
        sequence = Sequence(_line(start))
        while not isinstance(event := next(self._events), SequenceEndEvent):
            inner = f"{path}[{len(sequence.items)}]"
            sequence.items.append(self._node(event, inner, depth + 1))
        return sequence

    def _mapping(self, start: Event, path: str, depth: int) -> Mapping:
        mapping = Mapping(_line(start))
        merged: list[Node] = []
        while not isinstance(event := next(self._events), MappingEndEvent):
            line = _line(event)
            key = self._node(event, path, depth + 1)
            if not isinstance(key, Scalar):
                self.faults.append(Fault(line, path, "a key is a list or mapping; expected a name"))
                self._node(next(self._events), path, depth + 1)
                continue
            here = join(path, key.text)
            value = self._node(next(self._events), here, depth + 1)
            if key.plain and key.text == "<<":
                merged.append(value)
            elif key.text in mapping.entries:
                first = mapping.lines[key.text]
                self.faults.append(Fault(line, here, f"is there twice, first in line {first}"))
            else:
                mapping.entries[key.text] = value
                mapping.lines[key.text] = line
        for value in merged:
            self._merge(mapping, value, path)
        return mapping

    def _merge(self, into: Mapping, value: Node, path: str) -> None:
        """What *into* does not say itself it takes from *value*, the first of a list first."""
        for source in value.items if isinstance(value, Sequence) else [value]:
            if not isinstance(source, Mapping):
                message = "<< takes a mapping, or a list of them"
                self.faults.append(Fault(source.line, path, message))
                continue
            for key, node in source.entries.items():
                self._count(source.line, path)
                if key not in into.entries:
                    into.entries[key] = node
                    into.lines[key] = source.lines[key]

    def _count(self, line: int, path: str) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise Fault(line, path, f"more than {MAX_NODES} values")


def _line(event: Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1
