# SPDX-License-Identifier: Apache-2.0
"""CacheKey: what makes two questions the same one, as 16 bytes.

Everything that can change the answer is hashed, each part behind its length, so that no two
different questions have equal parts put together: model, steps, typed and shaped tensors by name,
requested outputs, parameters. A request's id, its encoding and its headers are left out.

A row of a batch has the key of a request for that row alone, so that the two meet.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import pairwise
from operator import attrgetter
from struct import pack
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.wire.rows import row_bounds

if TYPE_CHECKING:
    from gateway.wire.message import InferRequest

# To be raised when the encoding below changes, so that a shared store holds no misread entry.
SCHEMA: Final = 1
SIZE: Final = 16
_MAX_HEADS: Final = 4096
# Callers whose start of a hash is kept.
_MAX_SCOPES: Final = 1024
_NO_TAIL: Final = b"\x01"
_TAIL: Final = b"\x02"

_encode = msgspec.msgpack.Encoder(order="sorted").encode
_by_name = attrgetter("name")


class CacheKey:
    """Makes keys under *secret*, 16 to 64 bytes, without which nobody can find two equal ones.

    *model* is the name that it is asked by.
    """

    def __init__(self, model: str, *, secret: bytes) -> None:
        if not 16 <= len(secret) <= blake2b.MAX_KEY_SIZE:
            raise ValueError(f"a secret of 16 to 64 bytes is needed, not {len(secret)}")
        self._model = model
        self._secret = secret
        self._digest = b""
        # The state of the hash behind model and scope, for requests without and with a tail.
        self._begun: dict[bytes, tuple[blake2b, blake2b]] = {}
        # The head of a tensor by all that it says; a client's shapes are many, but not endless.
        self._heads: dict[tuple[str, str, tuple[int, ...], int], bytes] = {}

    def __repr__(self) -> str:
        return f"<CacheKey {self._model} {len(self._heads)} heads>"

    def __call__(self, request: InferRequest, digest: bytes, scope: bytes = b"") -> bytes:
        """The key of *request* to the model whose file and steps *digest* stands for.

        *scope* separates callers that must not share answers.
        """
        hashed = self._start(request, digest, scope)
        inputs = request.inputs
        if len(inputs) == 1:
            (tensor,) = inputs
            hashed.update(self._head(tensor.name, tensor.datatype, tensor.shape, len(tensor.data)))
            hashed.update(tensor.data)
            return hashed.digest()
        for tensor in sorted(inputs, key=_by_name):
            hashed.update(self._head(tensor.name, tensor.datatype, tensor.shape, len(tensor.data)))
            hashed.update(tensor.data)
        return hashed.digest()

    def rows(self, request: InferRequest, digest: bytes, scope: bytes = b"") -> list[bytes]:
        """The key of each row, as `__call__` makes it for that row alone.

        All inputs must have the same first dimension. Raises InvalidRequest for a BYTES input
        that is not what it says.
        """
        start = self._start(request, digest, scope)
        hashes = [start.copy() for _ in range(request.rows)]
        for tensor in sorted(request.inputs, key=_by_name):
            name, datatype = tensor.name, tensor.datatype
            shape = (1, *tensor.shape[1:])
            data = memoryview(tensor.data)
            for hashed, (begin, end) in zip(hashes, pairwise(row_bounds(tensor)), strict=True):
                hashed.update(self._head(name, datatype, shape, end - begin))
                hashed.update(data[begin:end])
        return [hashed.digest() for hashed in hashes]

    def _start(self, request: InferRequest, digest: bytes, scope: bytes) -> blake2b:
        """The hash of all but the inputs."""
        if digest != self._digest:
            self._begun.clear()
            self._digest = digest
        begun = self._begun.get(scope)
        if begun is None:
            if len(self._begun) >= _MAX_SCOPES:
                self._begun.clear()
            told = _encode((SCHEMA, scope, self._model, digest))
            plain = blake2b(told, key=self._secret, digest_size=SIZE)
            full = plain.copy()
            plain.update(_NO_TAIL)
            full.update(_TAIL)
            begun = self._begun[scope] = (plain, full)
        if request.outputs or request.parameters:
            return _tailed(begun[1], request)
        return begun[0].copy()

    def _head(self, name: str, datatype: str, shape: tuple[int, ...], size: int) -> bytes:
        told = (name, datatype, shape, size)
        head = self._heads.get(told)
        if head is None:
            if len(self._heads) >= _MAX_HEADS:
                self._heads.clear()
            text = _encode(told)
            head = self._heads[told] = pack("<Q", len(text)) + text
        return head


def _tailed(begun: blake2b, request: InferRequest) -> blake2b:
    """*begun* with what a request says besides its inputs.

    Which outputs matters, their order and encoding do not: that is the codec's affair.
    """
    outputs = sorted((output.name, output.classification) for output in request.outputs)
    # MessagePack keeps types apart: 1, 1.0, true and "1" are four parameters.
    tail = _encode((outputs, request.parameters or None))
    hashed = begun.copy()
    hashed.update(pack("<Q", len(tail)))
    hashed.update(tail)
    return hashed
