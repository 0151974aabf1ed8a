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

from gateway.errors import NoReadyEndpoint

if TYPE_CHECKING:
    from gateway.wire.message import InferRequest
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Tensor

# To be raised when the encoding below changes, so that a shared store holds no misread entry.
SCHEMA: Final = 1
SIZE: Final = 16
_MAX_HEADS: Final = 4096
_NO_TAIL: Final = 1
_TAIL: Final = 2

_encode = msgspec.msgpack.Encoder(order="sorted").encode
_by_name = attrgetter("name")


class CacheKey:
    """Makes keys under *secret*, 16 to 64 bytes, without which nobody can find two equal ones.

    *steps* is the digest of the model's steps. *scope* separates callers that must not share
    answers. `bind` says which model is asked.
    """

    def __init__(self, *, secret: bytes, steps: bytes = b"", scope: bytes = b"") -> None:
        if not 16 <= len(secret) <= blake2b.MAX_KEY_SIZE:
            raise ValueError(f"a secret of 16 to 64 bytes is needed, not {len(secret)}")
        self._secret = secret
        self._steps = steps
        self._scope = scope
        self._plain: blake2b | None = None
        self._full: blake2b | None = None
        # The head of a tensor by all that it says; a client's shapes are many, but not endless.
        self._heads: dict[tuple[str, str, tuple[int, ...], int], bytes] = {}

    def __repr__(self) -> str:
        return f"<CacheKey {'bound' if self._plain else 'unbound'}, {len(self._heads)} heads>"

    def bind(self, info: ModelInfo) -> None:
        """From now on make keys for *info*; those for another digest are never equal to them."""
        model = _encode(
            (SCHEMA, self._scope, info.name, info.version, info.digest, info.platform, self._steps)
        )
        prefix = blake2b(model, key=self._secret, digest_size=SIZE)
        self._plain = prefix.copy()
        self._plain.update(pack("<B", _NO_TAIL))
        self._full = prefix
        self._full.update(pack("<B", _TAIL))

    def __call__(self, request: InferRequest) -> bytes:
        """The key of *request*; raises NoReadyEndpoint before the model is known."""
        if request.outputs or request.parameters:
            digest = self._tailed(request)
        elif self._plain is None:
            raise NoReadyEndpoint(f"model '{request.model}' is not loaded by any worker yet")
        else:
            digest = self._plain.copy()
        inputs = request.inputs
        if len(inputs) == 1:
            (tensor,) = inputs
            digest.update(self._head(tensor))
            digest.update(tensor.data)
            return digest.digest()
        for tensor in sorted(inputs, key=_by_name):
            digest.update(self._head(tensor))
            digest.update(tensor.data)
        return digest.digest()

    def _tailed(self, request: InferRequest) -> blake2b:
        """The start for a request that asks for certain outputs or has parameters.

        Which outputs matters, their order and encoding do not: that is the codec's affair.
        """
        if self._full is None:
            raise NoReadyEndpoint(f"model '{request.model}' is not loaded by any worker yet")
        outputs = sorted((output.name, output.classification) for output in request.outputs)
        # MessagePack keeps types apart: 1, 1.0, true and "1" are four parameters.
        tail = _encode((outputs, request.parameters))
        digest = self._full.copy()
        digest.update(pack("<Q", len(tail)))
        digest.update(tail)
        return digest

    def _head(self, tensor: Tensor) -> bytes:
        told = (tensor.name, tensor.datatype, tensor.shape, tensor.nbytes)
        head = self._heads.get(told)
        if head is None:
            if len(self._heads) >= _MAX_HEADS:
                self._heads.clear()
            text = _encode(told)
            head = self._heads[told] = pack("<Q", len(text)) + text
        return head
