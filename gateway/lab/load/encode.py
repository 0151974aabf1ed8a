# SPDX-License-Identifier: Apache-2.0
"""Encode: the tensors of a request as a template in each protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import msgspec
import numpy as np

from gateway.lab import LabError
from gateway.lab.load.supply import Blank, Template
from gateway.lab.load.variation import DIGITS, choices, mark, marked
from gateway.wire.tensor import ITEM_SIZE, Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.lab.load.run import Plan
    from gateway.wire.tensor import Array

# A blank in JSON is at least as wide as the text that holds its place.
_NARROWEST: Final = 16
Bounds = dict[str, tuple[int, int]]


class Encoder:
    """Makes the templates of one *plan*.

    With *vary*, numbers and texts become blanks; *bounds* are those of whole numbers, by input.
    """

    def __init__(self, plan: Plan, *, vary: bool, bounds: Mapping[str, tuple[int, int]]) -> None:
        self._plan = plan
        self._vary = vary
        self._bounds = bounds

    def __repr__(self) -> str:
        return f"<Encoder {self._plan.protocol}>"

    def template(self, tensors: Sequence[Tensor], *, rows: int, bare: bool) -> Template:
        """The request for *tensors*, which hold *rows*; *bare* ones have no dimension for them."""
        marks: list[list[int]] = [[] for _ in range(rows)]
        if self._vary:
            tensors = [self._mark(tensor, rows, marks) for tensor in tensors]
        if self._plan.protocol in {"v2-json", "v1"}:
            body, blanks = self._json(tensors, rows, bare=bare)
            head = http_head(self._plan, body)
        else:
            prefix, start, parts = (
                v2_binary(tensors)
                if self._plan.protocol == "v2-binary"
                else grpc(self._plan, tensors)
            )
            body = b"".join(parts)
            blanks = self._raw(tensors, rows, start)
            head = http_head(self._plan, body, prefix) if prefix is not None else b""
        body = self._fill_marks(body, marks, blanks)
        return Template(head, body, tuple(map(tuple, blanks)) if self._vary else (), count=rows)

    def _mark(self, tensor: Tensor, rows: int, marks: list[list[int]]) -> Tensor:
        """Texts with a mark in the first of each row."""
        if tensor.datatype != "BYTES":
            return tensor
        array = tensor.array().copy()
        flat = array.reshape(rows, -1)
        for row in range(rows):
            if flat.shape[1]:
                number = sum(map(len, marks))
                flat[row, 0] = marked(flat[row, 0], number)
                marks[row].append(number)
        return Tensor.of(tensor.name, array)

    @staticmethod
    def _fill_marks(body: bytes, marks: list[list[int]], blanks: list[list[Blank]]) -> bytes:
        for mine, row in zip(marks, blanks, strict=True):
            for number in mine:
                at = body.find(mark(number))
                row.extend(Blank(at + 3 * place, DIGITS) for place in range(4))
                body = body.replace(mark(number), DIGITS[0] * 4, 1)
        return body

    def _choices(self, tensor: Tensor, rows: int) -> list[list[tuple[int, Array]]]:
        if not self._vary or tensor.datatype == "BYTES":
            return [[] for _ in range(rows)]
        return choices(tensor, rows, self._bounds.get(tensor.name, (0, 0)))

    def _raw(
        self, tensors: Sequence[Tensor], rows: int, starts: Sequence[int]
    ) -> list[list[Blank]]:
        """Slots in raw tensors that begin at *starts*."""
        blanks: list[list[Blank]] = [[] for _ in range(rows)]
        for tensor, start in zip(tensors, starts, strict=True):
            size = ITEM_SIZE[tensor.datatype]
            for row, found in enumerate(self._choices(tensor, rows)):
                for place, table in found:
                    texts = tuple(one.tobytes() for one in table)
                    blanks[row].append(Blank(start + place * size, texts))
        return blanks

    def _json(
        self, tensors: Sequence[Tensor], rows: int, *, bare: bool
    ) -> tuple[bytes, list[list[Blank]]]:
        """The body, with blanks as wide as the longest of their texts: JSON allows the spaces."""
        blanks: list[list[Blank]] = [[] for _ in range(rows)]
        holders: list[tuple[int, bytes, tuple[bytes, ...]]] = []
        columns: dict[str, tuple[Tensor, list[Any]]] = {}
        for tensor in tensors:
            flat = _plain(tensor)
            for row, found in enumerate(self._choices(tensor, rows)):
                for place, table in found:
                    texts = [msgspec.json.encode(one) for one in _numbers(tensor, table)]
                    width = max(_NARROWEST, *map(len, texts))
                    holder = f"#{len(holders)}#".ljust(width - 2, "#")
                    flat[place] = holder
                    padded = tuple(text.rjust(width) for text in texts)
                    holders.append((row, msgspec.json.encode(holder), padded))
            columns[tensor.name] = (tensor, flat)
        body = v2_json(columns) if self._plan.protocol == "v2-json" else v1(columns, bare=bare)
        for row, held, padded in holders:
            at = body.index(held)
            blanks[row].append(Blank(at, padded))
            body = body[:at] + padded[0] + body[at + len(held) :]
        return body, blanks


def _plain(tensor: Tensor) -> list[Any]:
    flat = tensor.array().ravel()
    if tensor.datatype != "BYTES":
        return _numbers(tensor, flat)
    try:
        return [one.decode() for one in flat]
    except UnicodeDecodeError:
        raise LabError(
            f"input '{tensor.name}' holds bytes that are no text, such as a picture: give "
            "--protocol v2-binary or grpc"
        ) from None


def _numbers(tensor: Tensor, flat: Array) -> list[Any]:
    if tensor.datatype == "BF16":
        flat = (flat.astype("<u4") << 16).view("<f4")
    numbers: list[Any] = flat.tolist()
    return numbers


def v2_json(columns: Mapping[str, tuple[Tensor, list[Any]]]) -> bytes:
    """A v2 body of inputs by name: the tensor that describes it, and its flat data."""
    inputs = [
        {"name": name, "datatype": tensor.datatype, "shape": tensor.shape, "data": flat}
        for name, (tensor, flat) in columns.items()
    ]
    return msgspec.json.encode({"inputs": inputs})


def v1(columns: Mapping[str, tuple[Tensor, list[Any]]], *, bare: bool) -> bytes:
    """The same as v1 rows, or as one where they are *bare*."""
    nested = {}
    for name, (tensor, flat) in columns.items():
        array = np.empty(len(flat), dtype=object)
        array[:] = flat
        shape = (1, *tensor.shape) if bare else tensor.shape
        nested[name] = array.reshape(shape).tolist()
    if len(nested) == 1:
        (rows,) = nested.values()
    else:
        rows = [dict(zip(nested, row, strict=True)) for row in zip(*nested.values(), strict=True)]
    return msgspec.json.encode({"instances": rows})


def v2_binary(tensors: Sequence[Tensor]) -> tuple[int, list[int], list[bytes]]:
    """Length of the JSON header, where each tensor begins, and the parts of the body."""
    head = msgspec.json.encode({
        "inputs": [
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": tensor.shape,
                "parameters": {"binary_data_size": tensor.nbytes},
            }
            for tensor in tensors
        ],
        "parameters": {"binary_data_output": True},
    })  # fmt: skip
    return len(head), *_laid_out([head], tensors)


def grpc(plan: Plan, tensors: Sequence[Tensor]) -> tuple[None, list[int], list[bytes]]:
    """No HTTP head; where each raw tensor begins, and the parts of a ModelInferRequest."""
    from gateway.lab.load.messages import raw_contents_head, request  # noqa: PLC0415 - an extra

    parts = [request(plan.model, plan.version, tensors)]
    starts = []
    for tensor in tensors:
        # Fields of a message may stand in any order: the raw contents come last, by hand.
        parts.append(raw_contents_head(tensor.nbytes))
        starts.append(sum(map(len, parts)))
        parts.append(bytes(tensor.data))
    return None, starts, parts


def _laid_out(parts: list[bytes], tensors: Sequence[Tensor]) -> tuple[list[int], list[bytes]]:
    starts = []
    at = sum(map(len, parts))
    for tensor in tensors:
        starts.append(at)
        parts.append(bytes(tensor.data))
        at += tensor.nbytes
    return starts, parts


def http_head(plan: Plan, body: bytes, header_length: int | None = None) -> bytes:
    """The head of an HTTP/1.1 request with *body*; *header_length* marks binary tensors."""
    parts = urlsplit(plan.url)
    name = quote(plan.model, safe="")
    version = f"/versions/{quote(plan.version, safe='')}" if plan.version else ""
    path = (
        f"/v1/models/{name}{version}:predict"
        if plan.protocol == "v1"
        else f"/v2/models/{name}{version}/infer"
    )
    kind = "application/json" if header_length is None else "application/octet-stream"
    lines = [
        f"POST {parts.path.rstrip('/')}{path} HTTP/1.1",
        f"Host: {parts.netloc.rpartition('@')[2]}",
        f"Content-Type: {kind}",
    ]
    if header_length is not None:
        lines.append(f"Inference-Header-Content-Length: {header_length}")
    if plan.new_connections:
        lines.append("Connection: close")
    lines += [f"{name}: {value}" for name, value in plan.headers]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1")


def split_head(head: bytes) -> tuple[str, dict[str, str]]:
    """Path and headers of what `http_head` gave, but for those that any client sets itself."""
    line, *fields = head.decode("latin-1").rstrip().split("\r\n")
    pairs = (field.split(": ", 1) for field in fields)
    left_out = {"host", "content-length", "connection"}
    return line.split(" ")[1], {name: text for name, text in pairs if name.lower() not in left_out}
