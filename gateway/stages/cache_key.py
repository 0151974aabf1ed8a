# SPDX-License-Identifier: Apache-2.0
"""CacheKey: what makes two questions the same one, as 16 bytes.

Everything that can change the answer is hashed, each part behind its length, so that no two
different questions have equal parts put together: model, steps, typed and shaped tensors by name,
requested outputs, parameters. A request's id, its encoding and its headers are left out.
"""

from __future__ import annotations

from hashlib import blake2b
from operator import attrgetter
from struct import pack
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from gateway.wire.message import InferRequest
    from gateway.wire.tensor import Tensor

# To be raised when the encoding below changes, so that a shared store holds no misread entry.
SCHEMA: Final = 1
SIZE: Final = 16
_MAX_HEADS: Final = 4096
_NO_TAIL: Final = b"\x01"
_TAIL: Final = b"\x02"

_encode = msgspec.msgpack.Encoder(order="sorted").encode
_by_name = attrgetter("name")


class CacheKey:
    """Makes keys under *secret*, 16 to 64 bytes, without which nobody can find two equal ones.

    *model* is the name that it is asked by. *scope* separates callers that must not share answers.
    """

    def __init__(self, model: str, *, secret: bytes, scope: bytes = b"") -> None:
        if not 16 <= len(secret) <= blake2b.MAX_KEY_SIZE:
            raise ValueError(f"a secret of 16 to 64 bytes is needed, not {len(secret)}")
        self._model = model
        self._secret = secret
        self._scope = scope
        self._digest: bytes
        # The state of the hash behind the model, for requests without and with a tail.
        self._plain: blake2b
        self._full: blake2b
        # The head of a tensor by all that it says; a client's shapes are many, but not endless.
        self._heads: dict[tuple[str, str, tuple[int, ...], int], bytes] = {}
        self._start(b"")

    def __repr__(self) -> str:
        return f"<CacheKey {self._model} {len(self._heads)} heads>"

    def __call__(self, request: InferRequest, digest: bytes) -> bytes:
        """The key of *request* to the model whose file and steps *digest* stands for."""
        if digest != self._digest:
            self._start(digest)
        hashed = (
            self._tailed(request) if request.outputs or request.parameters else (self._plain.copy())
        )
        inputs = request.inputs
        if len(inputs) == 1:
            (tensor,) = inputs
            hashed.update(self._head(tensor))
            hashed.update(tensor.data)
            return hashed.digest()
        for tensor in sorted(inputs, key=_by_name):
            hashed.update(self._head(tensor))
            hashed.update(tensor.data)
        return hashed.digest()

    def _start(self, digest: bytes) -> None:
        """Make keys for *digest*, which are never equal to those for another."""
        told = _encode((SCHEMA, self._scope, self._model, digest))
        self._digest = digest
        self._full = blake2b(told, key=self._secret, digest_size=SIZE)
        self._plain = self._full.copy()
        self._plain.update(_NO_TAIL)
        self._full.update(_TAIL)

    def _tailed(self, request: InferRequest) -> blake2b:
        """The start for a request that asks for certain outputs or has parameters.

        Which outputs matters, their order and encoding do not: that is the codec's affair.
        """
        outputs = sorted((output.name, output.classification) for output in request.outputs)
        # MessagePack keeps types apart: 1, 1.0, true and "1" are four parameters.
        tail = _encode((outputs, request.parameters or None))
        hashed = self._full.copy()
        hashed.update(pack("<Q", len(tail)))
        hashed.update(tail)
        return hashed

    def _head(self, tensor: Tensor) -> bytes:
        told = (tensor.name, tensor.datatype, tensor.shape, tensor.nbytes)
        head = self._heads.get(told)
        if head is None:
            if len(self._heads) >= _MAX_HEADS:
                self._heads.clear()
            text = _encode(told)
            head = self._heads[told] = pack("<Q", len(text)) + text
        return head
