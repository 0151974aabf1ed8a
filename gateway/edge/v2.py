# SPDX-License-Identifier: Apache-2.0
"""The codec of the Open Inference Protocol v2 over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.edge.refusal import refusal
from gateway.exchange import JSON_ALONE, Answer
from gateway.wire.oip import decode_plain, decode_request, header_length_of
from gateway.wire.oip_answer import encode_response
from gateway.wire.signature import signature_of

if TYPE_CHECKING:
    from gateway.errors import GatewayError
    from gateway.exchange import Exchange
    from gateway.wire.message import InferRequest, InferResponse
    from gateway.wire.model import ModelInfo

OCTETS = ("Content-Type", "application/octet-stream")
HEADER_LENGTH = "Inference-Header-Content-Length"


class V2Codec:
    """``/v2/models/{name}[/versions/{version}]/infer``."""

    protocol = spelling = "v2"

    def __repr__(self) -> str:
        return "<V2Codec>"

    def decode(self, exchange: Exchange, model: ModelInfo) -> InferRequest:
        """See Codec; the client's ``id`` becomes the exchange's inference id."""
        body = exchange.body
        length = exchange.headers.get("inference-header-content-length")
        signature = signature_of(model)
        if length is None:
            plain = decode_plain(
                body, signature, exchange.model, exchange.deadline, exchange.trace, exchange.rules
            )
            if plain is not None:
                if plain.id:
                    exchange.inference_id = plain.id
                return plain
        request = decode_request(
            body,
            signature,
            header_length=None if length is None else header_length_of(length, len(body)),
            model=exchange.model,
            arrived=exchange.arrived,
            deadline=exchange.deadline,
            trace=exchange.trace,
            rules=exchange.rules,
        )
        if request.id:
            exchange.inference_id = request.id
        return request

    def encode(
        self,
        exchange: Exchange,  # noqa: ARG002 - part of Codec; other protocols answer by it
        request: InferRequest,
        response: InferResponse,
        model: ModelInfo,
    ) -> Answer:
        """See Codec; an answer with bytes in it says where they begin."""
        body, header_length = encode_response(request, response, model)
        if header_length is None:
            return Answer(200, body, JSON_ALONE)
        return Answer(200, body, [OCTETS, (HEADER_LENGTH, str(header_length))])

    def refuse(self, exchange: Exchange, error: GatewayError) -> Answer:  # noqa: ARG002 - as above
        """``{"error": message}``."""
        return refusal(error)


class PreviewCodec(V2Codec):
    """``/v2/models/{name}/preprocess``: the same spelling, counted as a protocol of its own."""

    protocol = "v2-preprocess"

    def __repr__(self) -> str:
        return "<PreviewCodec>"
