# SPDX-License-Identifier: Apache-2.0
"""Upload: files as the body of an inference call, for models whose inputs are BYTES.

``Content-Type: image/*`` is one file, a row of the only input; ``multipart/form-data`` is one or
several, each a row of the input that the part is named after. The answer is that of the protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.edge.multipart import boundary_of, parts_of
from gateway.edge.routes import V1
from gateway.errors import UnsupportedMediaType
from gateway.wire.message import InferRequest
from gateway.wire.oip_binary import raw_input
from gateway.wire.predict import ROWS
from gateway.wire.signature import signature_of
from gateway.wire.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.errors import GatewayError
    from gateway.exchange import Answer, Codec, Exchange
    from gateway.wire.message import InferResponse
    from gateway.wire.model import ModelInfo
    from gateway.wire.signature import Signature
    from gateway.wire.tensor import Buffer

_FORM = "multipart/form-data"


def codec_for(codec: Codec, headers: Mapping[str, str]) -> Codec:
    """*codec*, or one that takes the upload which *headers* (lower-case names) announce."""
    return UploadCodec(codec, headers["content-type"]) if is_upload(headers) else codec


def is_upload(headers: Mapping[str, str]) -> bool:
    """Whether a request with *headers* is a file or a form; never one with binary tensors."""
    kind = headers.get("content-type", "")
    return (
        kind[:10].lower().startswith(("image/", "multipart/"))
        and "inference-header-content-length" not in headers
    )


class UploadCodec:
    """Decodes an upload of *content_type*; everything else is left to the protocol's *codec*."""

    def __init__(self, codec: Codec, content_type: str) -> None:
        self._codec = codec
        self._content_type = content_type
        self.protocol = codec.protocol
        # The boundary decides what the parts are.
        self.spelling = f"{codec.protocol} {content_type}"

    def __repr__(self) -> str:
        return f"<UploadCodec {self.protocol} {self._content_type[:32]}>"

    def decode(self, exchange: Exchange, model: ModelInfo) -> InferRequest:
        """See Codec; raises UnsupportedMediaType for a model that takes no files."""
        signature = signature_of(model)
        kind = self._content_type.partition(";")[0].strip().lower()
        if kind.startswith("image/"):
            self._check(signature, one=True)
            inputs: tuple[Tensor, ...] = (raw_input(exchange.body, signature),)
        elif kind == _FORM:
            self._check(signature, one=False)
            inputs = _form(exchange.body, signature, boundary_of(self._content_type))
        else:
            raise UnsupportedMediaType(
                f"Content-Type '{kind[:64]}' is not offered; send {_FORM} or image/*"
            )
        v1 = self._codec is V1
        if not v1:
            signature.check_json_outputs()
        return InferRequest(
            exchange.model,
            inputs,
            deadline=exchange.deadline,
            trace=exchange.trace,
            rules=exchange.rules,
            form=ROWS if v1 else "",
        )

    def encode(
        self, exchange: Exchange, request: InferRequest, response: InferResponse, model: ModelInfo
    ) -> Answer:
        """See Codec."""
        return self._codec.encode(exchange, request, response, model)

    def refuse(self, exchange: Exchange, error: GatewayError) -> Answer:
        """See Codec."""
        return self._codec.refuse(exchange, error)

    @staticmethod
    def _check(signature: Signature, *, one: bool) -> None:
        """Raise UnsupportedMediaType unless an element of BYTES is a row of every input."""
        batched = signature.model.batched
        for check in signature.inputs.values():
            row = check.shape[1:] if batched else check.shape
            if (
                check.datatype != "BYTES"
                or len(row) > 1
                or (batched and row not in {(), (1,), (-1,)})
            ):
                raise UnsupportedMediaType(
                    f"model '{signature.model.name}' takes no files: its input '{check.name}' is "
                    f"{check.datatype}{list(check.shape)}; send tensors, or give it an image step"
                )
        if one and len(signature.inputs) != 1:
            names = ", ".join(f"'{name}'" for name in signature.inputs)
            raise UnsupportedMediaType(
                f"model '{signature.model.name}' has several inputs; send {_FORM} with parts "
                f"named {names}"
            )


def _form(body: Buffer, signature: Signature, boundary: bytes) -> tuple[Tensor, ...]:
    """The inputs in a form; raises InvalidRequest."""
    view = memoryview(body)
    rows: dict[str, list[Buffer]] = {}
    for part in parts_of(body, boundary):
        if part.name not in signature.inputs:
            raise signature.unknown_input(part.name)
        size = (part.end - part.start).to_bytes(4, "little")
        rows.setdefault(part.name, []).extend((size, view[part.start : part.end]))
    signature.check_names(list(rows))
    tensors = []
    for name, check in signature.inputs.items():
        # Every element is two pieces: its length, and its bytes.
        count = len(rows[name]) // 2
        rank = len(check.shape)
        shape: tuple[int, ...] = (count,) if rank else ()
        if signature.model.batched:
            shape += (1,) * (rank - 1)
        if check.count(shape) != count:
            # One element has no dimension, and more than one came: that shape does not fit.
            check.count((count,))
        tensors.append(Tensor(name, "BYTES", shape, b"".join(rows[name])))
    signature.check_rows(tensors)
    return tuple(tensors)
