# SPDX-License-Identifier: Apache-2.0
"""Vectorize: one text a row becomes the numbers that a scikit-learn vectorizer makes of it."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

import msgspec

from gateway.errors import InvalidRequest
from gateway.steps.files import content
from gateway.steps.step import Change, Conversion, Misfit, buffer
from gateway.steps.strings import MAX_BYTES, Bound, texts
from gateway.steps.vectorizer import read
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import NUMPY, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

# What the rows of one request may take, as FP64.
_MAX_BYTES: Final = 256 << 20


class Vectorize(Conversion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counts, TF-IDF weights or hashed counts of the words or characters of a text."""

    kind: ClassVar[str] = "vectorize"
    # About 0.2 µs a byte, and the columns besides.
    inline_bytes: ClassVar[int] = 4 << 10

    file: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            description="The vectorizer, as `gateway.lab.export` writes a fitted CountVectorizer, "
            "TfidfVectorizer or HashingVectorizer.",
        ),
    ]
    max_bytes: Bound = MAX_BYTES

    def faults(self) -> Iterable[tuple[str, str]]:
        """A file that is missing or is no vectorizer, a missing package."""
        try:
            read(content(self.file)).transform()
        except Misfit as error:
            yield "file", str(error)

    def recipe(self) -> bytes:
        """The fields and the content of the file."""
        return msgspec.msgpack.encode((self, sha256(content(self.file)).digest()))

    def source(self, spec: TensorSpec, *, batched: bool) -> TensorSpec:
        """One text a row, in the place of as many numbers as the vectorizer has columns."""
        features = read(content(self.file)).features
        if not batched or spec.datatype not in {"FP32", "FP64"} or len(spec.shape) != 2:
            raise Misfit(
                f"input '{spec.name}' is {spec.datatype}{list(spec.shape)} here; expected FP32 or "
                f"FP64 of [-1, {features}]"
            )
        if spec.shape[1] not in {-1, features}:
            raise Misfit(f"it gives {features} columns, but '{spec.name}' has {spec.shape[1]}")
        return TensorSpec(spec.name, "BYTES", (-1,))

    def convert(self, given: TensorSpec, spec: TensorSpec, *, batched: bool) -> Change:  # noqa: ARG002
        """All rows at once."""
        vectorizer = read(content(self.file))
        transform, features = vectorizer.transform(), vectorizer.features
        datatype, dtype, most = spec.datatype, NUMPY[spec.datatype], self.max_bytes

        def vectorize(tensor: Tensor) -> Tensor:
            if len(tensor.shape) != 1:
                raise InvalidRequest(
                    f"input '{tensor.name}': shape {list(tensor.shape)} given, [-1] expected"
                )
            if tensor.rows * features * 8 > _MAX_BYTES:
                raise InvalidRequest(
                    f"input '{tensor.name}': {tensor.rows} rows of {features} columns are too "
                    f"many; at most {_MAX_BYTES // features // 8} are taken at a time"
                )
            made = transform(texts(tensor, max_bytes=most)).astype(dtype, copy=False)
            return Tensor(tensor.name, datatype, made.shape, buffer(made.reshape(-1)))

        return vectorize
